// Package arch owns the rules of the house: which room may import which, what stays at the
// edge, and how big things may grow. It is nothing but tests over the source tree; rules.md
// of other projects are read once, these are read at every build.
package arch
