// Package e2e holds the proof that the whole product does what it promises:
// tests that build the one binary, start it as its users do, and look at it
// from outside, over HTTP, through a browser and on the command line. It knows
// addresses, flags, pages and replies; of how they come about it knows
// nothing, and it imports no package of either tier.
package e2e
