package diag

import "strings"

// wordMax bounds the work that a very long word can make.
const wordMax = 64

// Nearest is the candidate that the word was most likely meant to be, or ""
// when none is near: at most one slip for each three characters. The first of
// equally near candidates wins.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", len([]rune(word))/3+1
	if len([]rune(word)) > wordMax {
		return ""
	}
	if len([]rune(word)) <= 2 {
		bestDistance = 2 // one slip, even in a short word
	}
	for _, c := range candidates {
		if c == "" || c == word || len(c) > 4*wordMax {
			continue
		}
		d := distance(fold(word), fold(c))
		// A slip that changes every character is no slip: "a" is not "b".
		if d < bestDistance && d < max(len([]rune(word)), len([]rune(c))) {
			best, bestDistance = c, d
		}
	}
	return best
}

// fold makes spellings alike that differ in what people do not see as one.
func fold(s string) []rune {
	return []rune(strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return '-'
		}
		return r
	}, strings.ToLower(s)))
}

// distance counts the slips between two words: a letter too much, missing,
// wrong, or two swapped (Damerau's optimal string alignment).
func distance(a, b []rune) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i, ca := range a {
		before, last, row := rows[0], rows[1], rows[2]
		row[0] = i + 1
		for j, cb := range b {
			cost := 1
			if ca == cb {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && ca == b[j-1] && a[i-1] == cb {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		rows[0], rows[1], rows[2] = last, row, before
	}
	return rows[1][len(b)]
}
