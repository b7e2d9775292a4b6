package catalogue

// Read reads texts from other files than the embedded ones.
var Read = read
