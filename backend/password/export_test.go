package password

// Derive computes the tag of a prepared password in place of argon2id.
type Derive = deriveFunc

// NewWithDerive makes a Hasher whose computation the test controls.
func NewWithDerive(cfg Config, derive Derive) (*Hasher, error) { return newHasher(cfg, derive) }
