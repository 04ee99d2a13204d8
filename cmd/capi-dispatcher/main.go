// Command capi-dispatcher carries conversion events from NATS JetStream to
// Meta's Conversions API. `capi-dispatcher --help` lists its verbs.
package main

import (
	"os"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/command"
)

func main() { os.Exit(command.Run(newRoot())) }
