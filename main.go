// Gatehouse is a login and profile service in two tiers. See README.md.
package main

import (
	"context"
	"os"

	"gatehouse/internal/command"
)

func main() {
	os.Exit(command.Run(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
