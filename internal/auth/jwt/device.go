package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"

	"jeton/internal/backend"
)

// Device logins (RFC 8628): the provider gives the server a secret device code, which travels in
// the sealed state, and the person a short code, which they type at the provider.

const (
	mostDeviceCode = 4096
	mostUserCode   = 64
	// usualInterval is between two polls where nobody says otherwise (RFC 8628 §3.2).
	usualInterval = 5 * time.Second
	// deviceFor bounds how long a device login may take, whatever the provider allows.
	deviceFor = 15 * time.Minute

	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
)

// deviceAnswer is the provider's (RFC 8628 §3.2). Some send numbers as text.
type deviceAnswer struct {
	DeviceCode string      `json:"device_code"`
	UserCode   string      `json:"user_code"`
	Where      string      `json:"verification_uri"`
	OldWhere   string      `json:"verification_url"`
	Complete   string      `json:"verification_uri_complete"`
	ExpiresIn  json.Number `json:"expires_in"`
	Interval   json.Number `json:"interval"`
}

// address is where the person goes, "" when the answer is not what the standard says. It is shown
// in terminals and opened by browsers.
func (a *deviceAnswer) address(issuer string) string {
	if a.DeviceCode == "" || len(a.DeviceCode) > mostDeviceCode || a.UserCode == "" || len(a.UserCode) > mostUserCode ||
		strings.ContainsFunc(a.UserCode, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return ""
	}
	for _, address := range []string{a.Complete, a.Where, a.OldWhere} {
		if address == "" {
			continue
		}
		u, err := checkAddress(address)
		if err != nil || len(address) > mostRedirect || (strings.HasPrefix(issuer, "https:") && u.Scheme != "https") {
			return ""
		}
		return u.String()
	}
	return ""
}

// seconds reads a number of seconds, within bounds; usual where there is none.
func seconds(n json.Number, usual, most time.Duration) time.Duration {
	f, err := n.Float64()
	switch {
	case err != nil || f <= 0:
		return usual
	case f > most.Seconds():
		return most
	}
	return max(time.Second, time.Duration(f)*time.Second)
}

func orUsual(interval time.Duration) time.Duration {
	if interval == 0 {
		return usualInterval
	}
	return interval
}

// beginDevice asks the provider for a device login, and puts what it says into the state. Who
// begins one needs no token, so the pace is bounded for the mount as a whole.
func (m *Method) beginDevice(ctx context.Context, t *trust, p *provider, r *role, s *flowState) (*authURLReply, error) {
	if p.oauth.Endpoint.DeviceAuthURL == "" {
		return nil, errNoDevice
	}
	now := m.clock.Now()
	if !m.polls.begins.AllowN(now, 1) {
		return nil, backend.Errorf(backend.Overloaded, "too many device logins begin: try again in a moment")
	}
	leave, err := m.talks.Enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	var answer deviceAnswer
	if err := m.ask(ctx, p, p.oauth.Endpoint.DeviceAuthURL, url.Values{"scope": {strings.Join(r.scopes(), " ")}}, &answer); err != nil {
		return nil, err
	}
	address := answer.address(t.config.DiscoveryURL)
	if address == "" {
		return nil, errForm
	}
	s.DeviceCode = answer.DeviceCode
	s.Ends = now.Add(seconds(answer.ExpiresIn, stateFor, deviceFor)).Unix()
	s.Interval = whole(max(r.Returning.Interval, seconds(answer.Interval, usualInterval, mostInterval)))
	return &authURLReply{AuthURL: address, UserCode: answer.UserCode}, nil
}

// askDevice asks the provider once whether the person has decided (RFC 8628 §3.4). A waitError
// says that they have not.
func (m *Method) askDevice(ctx context.Context, t *trust, r *role, s *flowState) (said claims, by []byte, err error) {
	err = m.talk(ctx, t, func(ctx context.Context, p *provider) error {
		var answer struct {
			AccessToken string `json:"access_token"`
			TokenType   string `json:"token_type"`
			IDToken     string `json:"id_token"`
		}
		err := m.ask(ctx, p, p.oauth.Endpoint.TokenURL, url.Values{"grant_type": {deviceGrant}, "device_code": {s.DeviceCode}}, &answer)
		var refused refusedError
		switch {
		case errors.As(err, &refused) && (refused == pending || refused == slowDown):
			return waitError(refused)
		case errors.As(err, &refused):
			return errors.New("The provider refused: " + oauthError(string(refused)) + ".")
		case err != nil:
			return away(err)
		}
		access := &oauth2.Token{AccessToken: answer.AccessToken, TokenType: answer.TokenType}
		if answer.AccessToken == "" {
			access = nil
		}
		said, by, err = m.believe(ctx, t, r, p, s, answer.IDToken, access)
		return err
	})
	return said, by, err
}

// ask sends the provider a form with the client's secret and reads its JSON answer. A
// refusedError is the provider's no; where it leads elsewhere it is not followed.
func (m *Method) ask(ctx context.Context, p *provider, address string, form url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, m.fetch.patience)
	defer cancel()
	form.Set("client_id", p.oauth.ClientID)
	if p.oauth.Endpoint.AuthStyle == oauth2.AuthStyleInParams {
		form.Set("client_secret", p.oauth.ClientSecret)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	if p.oauth.Endpoint.AuthStyle == oauth2.AuthStyleInHeader {
		// RFC 6749 §2.3.1: both are form-encoded first.
		request.SetBasicAuth(url.QueryEscape(p.oauth.ClientID), url.QueryEscape(p.oauth.ClientSecret))
	}
	response, err := p.clients.questions.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode >= 500:
		return statusError(response.StatusCode)
	case response.StatusCode/100 != 2:
		return refusalIn(body)
	}
	if json.Unmarshal(body, into) != nil {
		return errForm
	}
	return nil
}
