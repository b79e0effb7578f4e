package shamir

// The field is GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, in which bytes are polynomials over
// GF(2) and addition is XOR. Nothing here branches on, or indexes memory by, a value that may
// be secret: the usual logarithm tables leak through the cache (CVE-2023-25000).

// reduction is the field's polynomial without its x^8 term.
const reduction = 0x1b

// multiply is a times b.
func multiply(a, b byte) byte {
	var product byte
	for i := 0; i < 8; i++ {
		// -(x & 1) is all ones or all zeros: a mask in place of a branch.
		product ^= a & -(b & 1)
		a = a<<1 ^ reduction&-(a>>7)
		b >>= 1
	}
	return product
}

// inverse is the inverse of a, which must not be 0: a to the power of 254, for a^255 = 1.
func inverse(a byte) byte {
	square := multiply(a, a)
	product := square
	// 254 = 2 + 4 + 8 + 16 + 32 + 64 + 128.
	for i := 0; i < 6; i++ {
		square = multiply(square, square)
		product = multiply(product, square)
	}
	return product
}

// evaluate is the value at x of the polynomial whose coefficients are given from the constant
// term up (Horner's rule).
func evaluate(coefficients []byte, x byte) byte {
	var y byte
	for i := len(coefficients) - 1; i >= 0; i-- {
		y = multiply(y, x) ^ coefficients[i]
	}
	return y
}
