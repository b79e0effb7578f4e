package transit

import (
	"context"
	"errors"
	"net/http"

	"jeton/internal/backend"
)

// result is what one item of a batch came to, or the whole answer without a batch.
type result struct {
	Ciphertext string  `json:"ciphertext,omitempty"`
	Plaintext  *string `json:"plaintext,omitempty"`
	Signature  string  `json:"signature,omitempty"`
	HMAC       string  `json:"hmac,omitempty"`
	Valid      *bool   `json:"valid,omitempty"`
	PublicKey  string  `json:"public_key,omitempty"`
	KeyVersion uint64  `json:"key_version,omitempty"`
	Error      string  `json:"error,omitempty"`
	Reference  string  `json:"reference,omitempty"`
}

type batchReply struct {
	Results []result `json:"batch_results"`
}

// many is the part of a request that makes it a batch.
type many struct {
	BatchInput any `json:"batch_input" doc:"A list of objects, each with the parameters of one call, and a reference of the caller's own."`
	// Partial replaces the status of a batch of which some items failed.
	Partial int `json:"partial_failure_response_code" doc:"The status where some items fail and some do not; 400 by default."`
}

// leniency says which status a batch gets when items of it fail. Contract: secrets §5, batch.
type leniency bool

const (
	// strict batches are 400 as soon as one item fails.
	strict leniency = false
	// lenient batches are 400 when all items fail.
	lenient leniency = true
)

// serve answers a request: single where it is not a batch, else each item of the batch.
func serve[Item any](ctx context.Context, m many, l leniency, single *Item, act func(context.Context, *Item) (*result, error)) (*backend.Response, error) {
	if m.BatchInput == nil {
		out, err := act(ctx, single)
		if err != nil {
			return nil, err
		}
		return &backend.Response{Data: out}, nil
	}
	objects, err := itemsOf(m.BatchInput)
	if err != nil {
		return nil, err
	}
	reply := batchReply{Results: make([]result, len(objects))}
	failed, internal := 0, false
	for i, object := range objects {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out, err := one(ctx, object, act)
		if err != nil {
			failed++
			out = &result{Error: "internal error"}
			var known *backend.Error
			if errors.As(err, &known) {
				out.Error = known.Text
			} else {
				internal = true
			}
		}
		out.Reference, _ = object["reference"].(string)
		reply.Results[i] = *out
	}
	response := &backend.Response{Data: reply}
	switch {
	case failed == 0 || l == lenient && failed < len(objects):
	case m.Partial != 0 && failed < len(objects):
		response.Status = m.Partial
	case internal:
		response.Status = http.StatusInternalServerError
	default:
		response.Status = http.StatusBadRequest
	}
	return response, nil
}

func one[Item any](ctx context.Context, object map[string]any, act func(context.Context, *Item) (*result, error)) (*result, error) {
	item, err := backend.Decode[Item](object)
	if err != nil {
		return nil, err
	}
	return act(ctx, item)
}

// itemsOf are the objects of a batch.
func itemsOf(batch any) ([]map[string]any, error) {
	list, ok := batch.([]any)
	if !ok {
		return nil, backend.Invalidf("batch_input must be a list of objects")
	}
	if len(list) == 0 {
		return nil, backend.Invalidf("missing batch input to process")
	}
	objects := make([]map[string]any, len(list))
	for i, v := range list {
		if objects[i], ok = v.(map[string]any); !ok {
			return nil, backend.Invalidf("batch_input must be a list of objects")
		}
	}
	return objects, nil
}

// judge refuses a status that would not be one of an answer.
func (m many) judge() error {
	if m.Partial != 0 && (m.Partial < 200 || m.Partial > 599 || m.Partial == http.StatusNoContent || m.Partial == http.StatusNotModified) {
		return backend.Invalidf("partial_failure_response_code must be a status from 200 to 599 that has a body")
	}
	return nil
}
