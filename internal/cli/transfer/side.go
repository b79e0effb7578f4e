package transfer

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"
)

// side is one of the two servers.
type side struct {
	name   string // for messages
	client *api.Client
	// dry makes writes do nothing.
	dry bool
}

// read returns the data at a path, nil when there is nothing.
func (s *side) read(ctx context.Context, at string) (map[string]any, error) {
	return s.readWith(ctx, at, nil)
}

func (s *side) readWith(ctx context.Context, at string, query url.Values) (map[string]any, error) {
	sec, err := s.client.Logical().ReadWithDataWithContext(ctx, at, query)
	if err != nil || sec == nil {
		return nil, err
	}
	if sec.Data == nil {
		return map[string]any{}, nil
	}
	return sec.Data, nil
}

// readVersion returns one version of a secret: its data, nil when it is deleted or destroyed, and
// whether the answer knows the version at all.
func (s *side) readVersion(ctx context.Context, at string, n int) (data map[string]any, known bool, err error) {
	answer, err := s.readWith(ctx, at, url.Values{"version": {strconv.Itoa(n)}})
	if err != nil || answer == nil {
		return nil, false, err
	}
	data, _ = answer["data"].(map[string]any)
	return data, answer["metadata"] != nil, nil
}

// list returns the names at a path in the server's order; none is no error.
func (s *side) list(ctx context.Context, at string) ([]string, error) {
	sec, err := s.client.Logical().ListWithContext(ctx, at)
	if err != nil || sec == nil {
		return nil, err
	}
	keys, _ := sec.Data["keys"].([]any)
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		if name, ok := k.(string); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// write changes something and returns the answer's data.
func (s *side) write(ctx context.Context, at string, body map[string]any) (map[string]any, []string, error) {
	if s.dry {
		return nil, nil, nil
	}
	return s.ask(ctx, at, body)
}

// ask is for questions that the API takes as writes, and changes nothing.
func (s *side) ask(ctx context.Context, at string, body map[string]any) (map[string]any, []string, error) {
	sec, err := s.client.Logical().WriteWithContext(ctx, at, body)
	if err != nil || sec == nil {
		return nil, nil, err
	}
	return sec.Data, sec.Warnings, nil
}

// addressable tells whether the client can ask for a path: it cleans paths, and would ask for another
// one where a segment is empty or a dot.
func addressable(at string) bool {
	return path.Clean("/"+at) == "/"+strings.TrimSuffix(at, "/")
}

// answerText is what a server said, in one line.
func answerText(e *api.ResponseError) string {
	return strings.Join(strings.Fields(strings.Join(e.Errors, "; ")), " ")
}

// statusOf is the status of a server's answer, 0 when there was none.
func statusOf(err error) int {
	var answer *api.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// away tells whether an error is that of a server that cannot answer anything at the moment.
func away(err error) bool {
	switch statusOf(err) {
	case 0, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
