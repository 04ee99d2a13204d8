package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// graphCommand serves the simulated Graph API alone, for tests of other
// programs.
func graphCommand() *cobra.Command {
	var listen, appSecret string
	var tokens map[string]string
	var latency time.Duration
	command := &cobra.Command{
		Use:   "graph",
		Short: "Serve the simulated Graph API on a port",
		Long: `Serve the simulated Graph API on a port: Meta's rules, requests as JSON or as forms,
answers in Meta's shapes, faults on command, and a ledger of what was accepted.
Without --dataset, every dataset exists and takes any token.

` + controlHelp() + `
A fault may have: status, error {message, code, error_subcode}, body, header,
delay and answer_delay ("250ms"), accept (process before misbehaving), drop, cut,
short.`,
		Example: "  go run ./cmd/demo graph --listen 127.0.0.1:8090 --dataset 1234567890=my-token",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api := graphtest.New(graphtest.Config{AnyDataset: len(tokens) == 0, Latency: latency, AppSecret: appSecret})
			for dataset, token := range tokens {
				api.AddDataset(dataset, token)
			}
			listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "simulated Graph API on http://%s\n", listener.Addr())
			return serve(cmd.Context(), listener, api)
		},
	}
	command.Flags().StringVar(&listen, "listen", "127.0.0.1:8090", "address to listen on")
	command.Flags().StringToStringVar(&tokens, "dataset", nil, "ID=TOKEN: a dataset and the token that may write to it")
	command.Flags().StringVar(&appSecret, "app-secret", "", "secret of the app: every request needs its appsecret_proof")
	command.Flags().DurationVar(&latency, "latency", 0, "how long every answer takes")
	return command
}

// controlHelp lists the routes that drive the API.
func controlHelp() string {
	var help strings.Builder
	for _, route := range graphtest.ControlRoutes() {
		fmt.Fprintf(&help, "  %s\n      %s\n", route.Pattern, route.Does)
	}
	return help.String()
}

// serve serves until ctx ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ended := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer ended()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
