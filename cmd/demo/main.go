// Command demo shows the whole dispatcher in one process, with nothing to
// install: an embedded NATS server, an in-process Redis, a simulated Graph API
// and the worker. It publishes a realistic mix of events for half a minute,
// trouble included, shows live what happens to them, and closes the books.
//
//	go run ./cmd/demo
//	go run ./cmd/demo graph --listen 127.0.0.1:8090   only the simulated Graph API
//
// With --nats-url, --redis-url, --graph-url and --token-file it uses the real
// thing instead of its own.
package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/command"
)

// flags is what the demo can be told.
type flags struct {
	natsURL   string
	redisURL  string
	graphURL  string
	tokenFile string
	dataset   string
	testCode  string
	length    time.Duration
	rate      int
	plain     bool
}

func main() { os.Exit(command.Run(newRoot())) }

func newRoot() *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole dispatcher in one process",
		Example: `  go run ./cmd/demo
  go run ./cmd/demo --graph-url https://graph.facebook.com --token-file token.txt --dataset 1234567890 --test-event-code TEST123`,
		Args:          cobra.NoArgs,
		SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), f, cmd.OutOrStdout()) },
	}
	root.Flags().StringVar(&f.natsURL, "nats-url", "",
		"a NATS server of yours (2.12.2 or newer, with JetStream) instead of the embedded one")
	root.Flags().StringVar(&f.redisURL, "redis-url", "", "a Redis of yours (7.0 or newer) instead of the in-process one")
	root.Flags().StringVar(&f.graphURL, "graph-url", "",
		"the real Graph API instead of the simulated one; needs --token-file and --dataset")
	root.Flags().StringVar(&f.tokenFile, "token-file", "", "file with the access token for --graph-url")
	root.Flags().StringVar(&f.dataset, "dataset", "", "dataset for --graph-url: a few sound events are sent to it")
	root.Flags().StringVar(&f.testCode, "test-event-code", "", "code from Meta's Test Events tool for --graph-url")
	root.Flags().DurationVar(&f.length, "length", 20*time.Second, "how long events are published")
	root.Flags().IntVar(&f.rate, "rate", 1000, "messages a second")
	root.Flags().BoolVar(&f.plain, "plain", false, "print a line now and then instead of a live table")
	root.AddCommand(graphCommand())
	return root
}
