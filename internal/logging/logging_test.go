package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func logger(level slog.Level) (*Levels, *slog.Logger, *bytes.Buffer) {
	out := &bytes.Buffer{}
	l := New(level)
	return l, slog.New(l.Handler(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))), out
}

func TestLevelsOfRooms(t *testing.T) {
	levels, log, out := logger(slog.LevelInfo)
	token, store := log.With(RoomKey, "token"), log.With(RoomKey, "store").With("path", "x")
	if !levels.Set(slog.LevelDebug, "token") || !levels.Set(slog.LevelError, "store") {
		t.Fatal("the rooms are not there")
	}
	if levels.Set(slog.LevelDebug, "attic") {
		t.Fatal("there is an attic")
	}
	token.Debug("one")
	store.Warn("two")
	store.Error("three")
	log.Debug("four")
	log.Info("five")
	for text, want := range map[string]bool{"one": true, "two": false, "three": true, "four": false, "five": true} {
		if strings.Contains(out.String(), "msg="+text) != want {
			t.Errorf("%s was logged: %t", text, !want)
		}
	}
	// A reload of the configuration leaves what an operator has set.
	levels.Configure(slog.LevelWarn)
	if all := levels.All(); all["token"] != slog.LevelDebug || all[Main] != slog.LevelWarn {
		t.Errorf("levels %v", all)
	}
	if !levels.Revert() || levels.All()["token"] != slog.LevelWarn {
		t.Errorf("levels after the revert %v", levels.All())
	}
}

func TestReaders(t *testing.T) {
	levels, log, out := logger(slog.LevelError)
	r := levels.Follow(slog.LevelInfo, true)
	log.With("a", 1).WithGroup("g").Info("seen", "b", 2)
	log.Debug("not seen")
	r.Close()
	log.Info("too late")
	if line := string(<-r.Lines); !strings.Contains(line, `"msg":"seen","a":1,"g":{"b":2}`) {
		t.Errorf("line %q", line)
	}
	if len(r.Lines) != 0 || out.Len() != 0 {
		t.Errorf("%d lines more, and %q in the log", len(r.Lines), out)
	}
	// A reader that does not read costs lines and nothing else.
	slow := levels.Follow(slog.LevelInfo, false)
	defer slow.Close()
	for range waiting + 10 {
		log.Info("x")
	}
	if len(slow.Lines) != waiting {
		t.Errorf("%d lines wait, want %d", len(slow.Lines), waiting)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"trace": "debug", "debug": "debug", "notice": "info", "info": "info", "warn": "warn", "warning": "warn", "err": "error", "error": "error"} {
		level, ok := Parse(name)
		if !ok || Name(level) != want {
			t.Errorf("%s is %s, want %s", name, Name(level), want)
		}
	}
	if _, ok := Parse("loud"); ok {
		t.Error("loud is a level")
	}
}
