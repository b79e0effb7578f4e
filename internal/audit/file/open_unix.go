//go:build unix

package file

import "syscall"

// openFlags keeps the opening of a named pipe that nobody reads from waiting for ever.
const openFlags = syscall.O_NONBLOCK
