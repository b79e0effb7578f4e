package audit

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// errData says that a Data member is not one JSON value. It carries no byte of it.
var errData = errors.New("audit: data is not valid JSON")

// maxDepth bounds how deep data may be nested, so that whoever reads the log can. The edge's own
// limit for requests is far below it.
const maxDepth = 1000

// maxStrings bounds how many strings the data of a request may hold. A hash is 76 characters, so
// that a body of empty strings would grow by a factor of 25, and each costs a quarter of a
// microsecond; the entries of refused requests are written too, so that anyone could ask for it
// (CVE-2025-6203). Answers are the server's own and are not bounded: a list may be long.
const maxStrings = 1 << 18

// errStrings says that a request holds more strings than maxStrings.
var errStrings = errors.New("audit: request data holds too many values")

// walk copies one JSON value into a line and hashes its strings on the way: every string at any
// depth, but for timestamps and for strings whose nearest enclosing key is one of clearKeys.
// Whatever is not JSON fails the line, since half-understood bytes cannot be hashed and must not
// be written as they are. Contract: audit §6.
//
// The walk works on bytes because decoding into any, copying and encoding again took most of
// the cost of an entry, and because it makes the rule "a string is hashed" one branch.
type walk struct {
	l         *line
	src       []byte
	at        int
	depth     int
	clearKeys []string
	// elide replaces the top-level keys and key_info by their sizes.
	elide bool
	// sizing: the value at the cursor is only counted, and its strings need not be hashed.
	sizing bool
	// budget is how many strings may still come; below zero is no bound.
	budget int
}

// requestData writes the data of a request, responseData that of an answer. Nothing, null and an
// empty object are left out.
func (l *line) requestData(src []byte, clearKeys []string) error {
	return l.data(walk{l: l, src: src, clearKeys: clearKeys, budget: maxStrings})
}

func (l *line) responseData(src []byte, clearKeys []string, elide bool) error {
	return l.data(walk{l: l, src: src, clearKeys: clearKeys, elide: elide, budget: -1})
}

func (l *line) data(w walk) error {
	if len(w.src) == 0 {
		return nil
	}
	start := len(l.buf)
	l.key("data")
	from := len(l.buf)
	if err := w.whole(); err != nil {
		return err
	}
	if out := l.buf[from:]; string(out) == "{}" || string(out) == "null" {
		l.buf = l.buf[:start]
	}
	return nil
}

// whole walks one value and white space to the end of the source.
func (w *walk) whole() error {
	if err := w.value(false); err != nil {
		return err
	}
	if w.skip(); w.at != len(w.src) {
		return errData
	}
	return nil
}

// skip passes over white space.
func (w *walk) skip() {
	for w.at < len(w.src) {
		switch w.src[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return
		}
	}
}

// next passes over white space and c, and says whether c was there.
func (w *walk) next(c byte) bool {
	w.skip()
	if w.at < len(w.src) && w.src[w.at] == c {
		w.at++
		return true
	}
	return false
}

// value copies the value at the cursor. inClear says that the nearest enclosing key is exempt.
func (w *walk) value(inClear bool) error {
	w.skip()
	if w.at == len(w.src) {
		return errData
	}
	switch w.src[w.at] {
	case '{':
		_, err := w.object()
		return err
	case '[':
		_, err := w.array(inClear)
		return err
	case '"':
		return w.text(inClear)
	case 't':
		return w.literal("true")
	case 'f':
		return w.literal("false")
	case 'n':
		return w.literal("null")
	}
	return w.number()
}

func (w *walk) literal(word string) error {
	if !bytes.HasPrefix(w.src[w.at:], []byte(word)) {
		return errData
	}
	w.at += len(word)
	w.l.buf = append(w.l.buf, word...)
	return nil
}

// object copies an object and returns how many members it has.
func (w *walk) object() (n int, err error) {
	if w.depth++; w.depth > maxDepth {
		return 0, errData
	}
	defer func() { w.depth-- }()
	w.at++
	w.l.buf = append(w.l.buf, '{')
	for !w.next('}') {
		if n > 0 {
			if !w.next(',') {
				return n, errData
			}
			w.l.buf = append(w.l.buf, ',')
		}
		inClear, sized, err := w.memberKey()
		if err != nil {
			return n, err
		}
		if sized {
			err = w.size()
		} else {
			err = w.value(inClear)
		}
		if err != nil {
			return n, err
		}
		n++
	}
	w.l.buf = append(w.l.buf, '}')
	return n, nil
}

// memberKey copies a key and its colon, and says what the key means for the value: that its
// strings are exempt, or that only its size is to be written.
func (w *walk) memberKey() (inClear, sized bool, err error) {
	if w.skip(); w.at == len(w.src) || w.src[w.at] != '"' {
		return false, false, errData
	}
	raw, plain, err := w.scan()
	if err != nil {
		return false, false, err
	}
	key := raw
	if !plain {
		w.l.text = unescape(w.l.text[:0], raw)
		key = w.l.text
	}
	inClear = slices.ContainsFunc(w.clearKeys, func(k string) bool { return k == string(key) })
	if w.elide && w.depth == 1 {
		sized = string(key) == "keys" || string(key) == "key_info"
	}
	if plain {
		w.l.buf = append(append(append(w.l.buf, '"'), raw...), '"')
	} else {
		w.l.buf = appendString(w.l.buf, key)
	}
	if !w.next(':') {
		return false, false, errData
	}
	w.l.buf = append(w.l.buf, ':')
	return inClear, sized, nil
}

// size writes how many elements or members the list or object at the cursor has; a value of
// another type is not touched. The value is walked all the same, to know that it is JSON.
func (w *walk) size() error {
	w.skip()
	start := len(w.l.buf)
	var n int
	var err error
	w.sizing = true
	defer func() { w.sizing = false }()
	switch {
	case w.at < len(w.src) && w.src[w.at] == '[':
		n, err = w.array(false)
	case w.at < len(w.src) && w.src[w.at] == '{':
		n, err = w.object()
	default:
		w.sizing = false
		return w.value(false)
	}
	w.l.buf = strconv.AppendInt(w.l.buf[:start], int64(n), 10)
	return err
}

// array copies an array and returns how many elements it has. Its strings are exempt when the
// array itself is: a list inherits the key of the object that it sits in.
func (w *walk) array(inClear bool) (n int, err error) {
	if w.depth++; w.depth > maxDepth {
		return 0, errData
	}
	defer func() { w.depth-- }()
	w.at++
	w.l.buf = append(w.l.buf, '[')
	for !w.next(']') {
		if n > 0 {
			if !w.next(',') {
				return n, errData
			}
			w.l.buf = append(w.l.buf, ',')
		}
		if err := w.value(inClear); err != nil {
			return n, err
		}
		n++
	}
	w.l.buf = append(w.l.buf, ']')
	return n, nil
}

// text copies the string at the cursor, hashed unless it is exempt.
func (w *walk) text(inClear bool) error {
	raw, plain, err := w.scan()
	if err != nil || w.sizing {
		return err
	}
	if w.budget == 0 {
		return errStrings
	}
	w.budget--
	value := raw
	if !plain {
		w.l.text = unescape(w.l.text[:0], raw)
		value = w.l.text
	}
	if inClear || w.l.format.raw || isTimestamp(value) {
		w.l.buf = appendString(w.l.buf, value)
		return nil
	}
	w.l.hashedBytes(value)
	return nil
}

// scan passes over the string at the cursor and returns what is between its quotes. plain says
// that these bytes are the text: no escape, valid UTF-8.
func (w *walk) scan() (raw []byte, plain bool, err error) {
	w.at++
	start := w.at
	plain = true
	ascii := true
	w.at += plainLength(w.src[w.at:])
	for w.at < len(w.src) {
		switch c := w.src[w.at]; {
		case c == '"':
			raw = w.src[start:w.at]
			w.at++
			return raw, plain && (ascii || utf8.Valid(raw)), nil
		case c == '\\':
			plain = false
			n := escapeLength(w.src[w.at:])
			if n == 0 {
				return nil, false, errData
			}
			w.at += n
		case c < ' ':
			return nil, false, errData
		default:
			if c >= utf8.RuneSelf {
				ascii = false
			}
			w.at++
		}
	}
	return nil, false, errData
}

// escapeLength is the length of the escape that s begins with, 0 when it is none.
func escapeLength(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(s[2:]); ok {
			return 6
		}
	}
	return 0
}

// hex4 reads four hex digits.
func hex4(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape appends the text of a scanned string to dst: the text that encoding/json would have
// decoded, which is what the client's own hash is over.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			if c < utf8.RuneSelf {
				dst = append(dst, c)
				i++
				continue
			}
			r, n := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		switch e := raw[i+1]; e {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := codePoint(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		default:
			dst = append(dst, e)
		}
		i += 2
	}
	return dst
}

// codePoint reads the \u escape that s begins with, or a pair of them that is one character,
// and returns its length. A lone surrogate is U+FFFD.
func codePoint(s []byte) (rune, int) {
	r, _ := hex4(s[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if low, ok := hex4(s[8:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
	}
	return utf8.RuneError, 6
}

// number copies the number at the cursor.
func (w *walk) number() error {
	n := numberLength(w.src[w.at:])
	if n == 0 {
		return errData
	}
	w.l.buf = append(w.l.buf, w.src[w.at:w.at+n]...)
	w.at += n
	return nil
}

// numberLength is the length of the JSON number that s begins with, 0 when it is none.
func numberLength(s []byte) int {
	i := 0
	digits := func() bool {
		from := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if !digits() {
		return 0
	}
	if i < len(s) && s[i] == '.' {
		i++
		if !digits() {
			return 0
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}

// timestampShape is what the first bytes of a timestamp look like; 0 stands for a digit.
const timestampShape = "0000-00-00T00:00:00"

// isTimestamp says whether the whole of s is a timestamp in the form of RFC 3339, which stays
// clear. Contract: audit §6(a). The shape is checked here because package time is too generous
// to decide what goes into the log in clear: it takes any number of digits of a second's
// fraction, and anyone could carry a secret in those.
func isTimestamp(s []byte) bool {
	if len(s) <= len(timestampShape) || !hasShape(s, timestampShape) {
		return false
	}
	zone := s[len(timestampShape):]
	if zone[0] == '.' {
		n := 1
		for n < len(zone) && zone[n] >= '0' && zone[n] <= '9' {
			n++
		}
		if n == 1 || n > len(".999999999") {
			return false
		}
		zone = zone[n:]
	}
	// The bounds of a zone are those of package time.
	if string(zone) != "Z" {
		if len(zone) != len("+00:00") || !hasShape(zone, "+00:00") && !hasShape(zone, "-00:00") || twoDigits(zone[1:]) > 24 || twoDigits(zone[4:]) > 60 {
			return false
		}
	}
	return isDate(100*twoDigits(s)+twoDigits(s[2:]), twoDigits(s[5:]), twoDigits(s[8:])) &&
		twoDigits(s[11:]) <= 23 && twoDigits(s[14:]) <= 59 && twoDigits(s[17:]) <= 59
}

// twoDigits is the number that s begins with.
func twoDigits(s []byte) int { return int(s[0]-'0')*10 + int(s[1]-'0') }

func isDate(year, month, day int) bool {
	if month < 1 || month > 12 || day < 1 {
		return false
	}
	// The zeroth day of the next month is the last of this one.
	return day <= 28 || day <= time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// hasShape says whether s begins with bytes like those of shape, where 0 stands for any digit.
func hasShape(s []byte, shape string) bool {
	for i := range len(shape) {
		if c := s[i]; shape[i] == '0' && (c < '0' || c > '9') || shape[i] != '0' && c != shape[i] {
			return false
		}
	}
	return true
}
