// Package tidy is the test of the house rules that a compiler does not keep.
package tidy
