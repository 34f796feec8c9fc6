module github.com/hopyard/hopyard

go 1.26.0
