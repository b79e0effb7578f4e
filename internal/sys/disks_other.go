//go:build !linux

package sys

import "errors"

// readDisks: only Linux is asked.
func readDisks() ([]diskInfo, error) { return nil, errors.ErrUnsupported }
