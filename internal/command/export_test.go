package command

// Overwritten is a live line on a terminal.
var Overwritten = overwritten
