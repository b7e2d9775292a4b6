// Package loaddata compares users generate with what the server itself makes
// of the same rows in a file, by LOAD DATA INFILE. It does not know how either
// does it. Run it with: make bench-load
package loaddata
