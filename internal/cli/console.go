package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// lineWidth is where running text is wrapped (contract: cli §5).
const lineWidth = 78

// console is the three standard streams. Results go to out, everything a person
// reads besides goes to err (contract: cli §1).
type console struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	colour bool
	// inUsed is set once standard input was read to its end.
	inUsed bool
}

func newConsole(env Env) *console {
	plain := env.value("CLI_NO_COLOR") != "" || env.Getenv("NO_COLOR") != ""
	return &console{in: env.Stdin, out: env.Stdout, err: env.Stderr, colour: !plain && isTerminal(env.Stderr)}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (c *console) print(text string)                 { fmt.Fprintln(c.out, text) }
func (c *console) printf(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }

// warn writes a line to standard error, yellow on a terminal.
func (c *console) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if c.colour && text != "" {
		text = "\x1b[33m" + text + "\x1b[0m"
	}
	fmt.Fprintln(c.err, text)
}

func (c *console) fail(text string, table bool) {
	if c.colour && table {
		text = "\x1b[31m" + text + "\x1b[0m"
	}
	fmt.Fprintln(c.err, text)
}

// raw writes one value: a newline follows only on a terminal, so that a script
// that captures it gets the value and nothing else (contract: cli §5).
func (c *console) raw(text string) {
	fmt.Fprint(c.out, text)
	if isTerminal(c.out) {
		fmt.Fprintln(c.out)
	}
}

var (
	errStdinUsed = errors.New("stdin already consumed")
	errNoPrompt  = errors.New("cannot ask for input: standard input is not a terminal, or -non-interactive is set")
)

// readAll returns all of standard input; it can be had once.
func (c *console) readAll() (string, error) {
	if c.inUsed {
		return "", errStdinUsed
	}
	c.inUsed = true
	b, err := io.ReadAll(c.in)
	return string(b), err
}

// askSecret prompts on where and reads a line without echo. Spaces stay: they
// may be part of a password.
func (c *console) askSecret(where io.Writer, prompt string) (string, error) {
	f, ok := c.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", errNoPrompt
	}
	fmt.Fprint(where, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(where)
	return string(b), err
}

// ask prompts on standard error and reads a line.
func (c *console) ask(prompt string) (string, error) {
	if !isTerminal(c.in) {
		return "", errNoPrompt
	}
	fmt.Fprint(c.err, prompt)
	line, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil && line == "" {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

// line reads one line of standard input, and leaves the rest for the next call.
func (c *console) line() (string, error) {
	var line []byte
	for one := make([]byte, 1); ; {
		n, err := c.in.Read(one)
		if n == 1 && one[0] != '\n' {
			line = append(line, one[0])
		}
		if n == 1 && one[0] == '\n' || errors.Is(err, io.EOF) && len(line) > 0 {
			return strings.TrimSpace(string(line)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// wrap breaks text at spaces so that no line is longer than width, unless a
// single word is.
func wrap(text string, width int) string {
	var out []string
	for _, para := range strings.Split(text, "\n") {
		line := ""
		for _, word := range strings.Fields(para) {
			switch {
			case line == "":
				line = word
			case len(line)+1+len(word) > width:
				out = append(out, line)
				line = word
			default:
				line += " " + word
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
