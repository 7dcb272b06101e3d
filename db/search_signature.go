package db

import (
	"math/bits"
	"strings"
	"unicode/utf8"

	"importer"
)

// A signature says which trigrams, three bytes in a row, occur in the lower
// case texts of a few products: bit h of it, for the hash h of each, counted
// as get_bit does. Who looks for a word reads only the groups whose signature
// has all of the word's trigrams; the others cannot have it. Trigrams with a
// space in them are left out, for no word has one.

// A bit a byte of text leaves a third to a half of the bits set.
const minSignature, maxSignature = 64, 8 << 10 // bytes

// signatureOf makes the signature of a group of rows.
func signatureOf(rows []importer.Row) []byte {
	size := 0
	for i := range rows {
		size += len(rows[i].Key) + len(rows[i].Name) + len(rows[i].Description)
	}
	signature := make([]byte, min(max(1<<bits.Len(uint(size/8)), minSignature), maxSignature))
	for i := range rows {
		sign(signature, rows[i].Key)
		sign(signature, rows[i].Name)
		sign(signature, rows[i].Description)
	}
	return signature
}

// sign adds the trigrams of one text. Its loop lowers ASCII by itself.
func sign(signature []byte, text string) {
	mask := uint32(len(signature)*8 - 1)
	var window uint32
	run := 0 // of bytes without a space
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c >= utf8.RuneSelf:
			// The letters before it are signed; again does no harm.
			signLower(signature, text)
			return
		case c == ' ':
			run = 0
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		window = window<<8 | uint32(c)
		if run++; run >= 3 {
			h := trigramHash(window) & mask
			signature[h>>3] |= 1 << (h & 7)
		}
	}
}

func signLower(signature []byte, text string) {
	mask := uint32(len(signature)*8 - 1)
	for _, h := range trigramsOf(strings.ToLower(text)) {
		h &= mask
		signature[h>>3] |= 1 << (h & 7)
	}
}

// trigramsOf returns the hashes of the trigrams of a text in lower case.
func trigramsOf(text string) []uint32 {
	var hashes []uint32
	for i := 0; i+3 <= len(text); i++ {
		hashes = append(hashes, trigramHash(uint32(text[i])<<16|uint32(text[i+1])<<8|uint32(text[i+2])))
	}
	return hashes
}

// trigramHash spreads the low 24 bits, by Knuth's multiplication. 16 bits of
// it are used, those of the largest signature.
func trigramHash(window uint32) uint32 { return (window << 8) * 2654435769 >> 16 }
