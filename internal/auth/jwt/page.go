package jwt

import (
	"bytes"
	"errors"
	"html/template"
	"strings"

	"jeton/internal/backend"
)

// Pages are for people, and made of constants and of what the provider or the operator said:
// nothing that the browser brought is in one (CVE-2026-33758).

// question is what a person is asked before a direct login is completed.
type question struct {
	// User is who they are to the role, From the address that began the login.
	User, Role, Mount, From, Code string
	// Sealed comes back with the yes. Nobody but this page has it, so no other can say yes.
	Sealed string
}

// pages makes them.
type pages struct{ layout *template.Template }

func newPages() pages {
	return pages{template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Jeton</title></head><body>
{{with .Question}}<h1>Did you begin this login?</h1>
<p>A command at {{if .From}}the address <b>{{.From}}</b>{{else}}an address that is not known{{end}} asks to be logged in to Jeton as <b>{{.User}}</b>, with the role <b>{{.Role}}</b> of <b>{{.Mount}}</b></p>
<p>Go on only if you started it yourself, just now, and your terminal shows this code:</p>
<p><b>{{.Code}}</b></p>
<p>If somebody sent you here, close this window. They would be logged in as you.</p>
<form method="post" action="confirm"><input type="hidden" name="confirmation" value="{{.Sealed}}"><button id="confirm">Yes, log in</button></form>
{{else}}<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{end}}</body></html>
`))}
}

type pageData struct {
	Question    *question
	Title, Text string
}

func (p pages) render(status int, data pageData) (*backend.Response, error) {
	var page bytes.Buffer
	if err := p.layout.Execute(&page, data); err != nil {
		return nil, err
	}
	return &backend.Response{Status: status, Raw: &backend.Raw{ContentType: backend.PageType, Body: page.Bytes()}}, nil
}

func (p pages) confirm(q question) (*backend.Response, error) {
	return p.render(200, pageData{Question: &q})
}

func (p pages) done() (*backend.Response, error) {
	return p.render(200, pageData{Title: "You are signed in", Text: "You may close this window. The command that waits for you goes on by itself."})
}

// refusal tells a person what an error says. What is no refusal is left to the edge.
func (p pages) refusal(err error) (*backend.Response, error) {
	var known *backend.Error
	if !errors.As(err, &known) {
		return nil, err
	}
	status := map[backend.Kind]int{backend.Invalid: 400, backend.Upstream: 502, backend.Overloaded: 503}[known.Kind]
	if status == 0 {
		return nil, err
	}
	return p.render(status, pageData{Title: "The login failed", Text: strings.TrimPrefix(known.Text, loginFailed)})
}
