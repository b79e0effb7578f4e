package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The completion library can install itself too, but only into the home of the password database,
// whatever HOME says, and a second time is an error to it. These lines are the same.

// shellSetup is how one shell learns to ask this program on Tab.
type shellSetup struct {
	shell string
	// file is what the shell reads when it starts; whole tells that it belongs to this program
	// alone.
	file  string
	whole bool
	lines []string
}

// completionFlag tells whether args ask to install or remove shell completion.
func completionFlag(args []string) (install, asked bool) {
	if len(args) != 1 || !strings.HasPrefix(args[0], "-") {
		return false, false
	}
	switch strings.TrimPrefix(args[0], "-") {
	case "-autocomplete-install", "autocomplete-install":
		return true, true
	case "-autocomplete-uninstall", "autocomplete-uninstall":
		return false, true
	}
	return false, false
}

// setUpCompletion installs or removes completion for every shell that is in use here.
func setUpCompletion(name string, install bool, env Env) int {
	con := newConsole(env)
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		con.fail("Error finding this program: "+err.Error(), true)
		return exitLocal
	}
	shells, err := shellsInUse(name, program, env)
	if err != nil {
		con.fail(err.Error(), true)
		return exitLocal
	}
	code := exitOK
	for _, sh := range shells {
		changed, err := sh.apply(install)
		switch {
		case err != nil:
			con.fail(fmt.Sprintf("Error setting up %s: %s", sh.shell, err), true)
			code = exitLocal
		case install && changed:
			con.printf("%s: completion installed in %s; it works in the next shell you open.", sh.shell, sh.file)
		case install:
			con.printf("%s: completion is already installed in %s.", sh.shell, sh.file)
		case changed:
			con.printf("%s: completion removed from %s.", sh.shell, sh.file)
		}
	}
	return code
}

// shellsInUse are the shells whose files are there, and the one that SHELL names.
func shellsInUse(name, program string, env Env) ([]shellSetup, error) {
	home := env.Getenv("HOME")
	if home == "" {
		return nil, errors.New("HOME is not set: there is no place to install completion in")
	}
	config := env.Getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(home, ".config")
	}
	login := filepath.Base(env.Getenv("SHELL"))
	exists := func(path string) bool { _, err := os.Stat(path); return err == nil }
	var found []shellSetup

	bash := filepath.Join(home, ".bashrc")
	for _, other := range []string{".bash_profile", ".bash_login", ".profile"} {
		if path := filepath.Join(home, other); !exists(bash) && exists(path) {
			bash = path
		}
	}
	if exists(bash) || login == "bash" {
		found = append(found, shellSetup{shell: "bash", file: bash, lines: []string{"complete -C " + quoted(program) + " " + name}})
	}
	if zsh := filepath.Join(home, ".zshrc"); exists(zsh) || login == "zsh" {
		found = append(found, shellSetup{shell: "zsh", file: zsh, lines: []string{
			"autoload -U +X bashcompinit && bashcompinit", "complete -o nospace -C " + quoted(program) + " " + name,
		}})
	}
	if fish := filepath.Join(config, "fish"); exists(fish) || login == "fish" {
		found = append(found, shellSetup{
			shell: "fish", file: filepath.Join(fish, "completions", name+".fish"), whole: true,
			lines: []string{
				"function __" + name + "_complete",
				"    set -lx COMP_LINE (commandline -cp | string collect)",
				"    " + quoted(program),
				"end",
				"complete -f -c " + name + " -a '(__" + name + "_complete)'",
			},
		})
	}
	if len(found) == 0 {
		return nil, errors.New("no shell was found to install completion for: SHELL names none of bash, zsh and fish, and their files are not in " + home)
	}
	return found, nil
}

// quoted puts a path into single quotes where a shell would take it apart.
func quoted(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("/._-+@", r)
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// apply adds the lines that are missing or removes those that are there.
func (sh shellSetup) apply(install bool) (changed bool, err error) {
	old, err := os.ReadFile(sh.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	var kept []string
	if sh.whole {
		if !install {
			return len(old) > 0, removeIfThere(sh.file)
		}
		kept = sh.lines
	} else {
		kept = strings.Split(strings.TrimSuffix(string(old), "\n"), "\n")
		if len(old) == 0 {
			kept = nil
		}
		kept = sh.edit(kept, install)
	}
	text := strings.Join(kept, "\n")
	if text != "" {
		text += "\n"
	}
	if text == string(old) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(sh.file), 0o755); err != nil {
		return false, err
	}
	return true, writeThrough(sh.file, text)
}

func (sh shellSetup) edit(lines []string, install bool) []string {
	for _, line := range sh.lines {
		at := slices.Index(lines, line)
		switch {
		case install && at < 0:
			lines = append(lines, line)
		case !install && at >= 0 && strings.HasPrefix(line, "complete "):
			// The line before it may serve other programs' completion too.
			lines = slices.Delete(lines, at, at+1)
		}
	}
	return lines
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// writeThrough replaces what a file holds by a rename, so that a crash leaves the old text or the
// new; a link to a file elsewhere stays a link.
func writeThrough(path, text string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".jeton-*")
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(text)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), mode)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
