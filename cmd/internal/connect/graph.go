package connect

import (
	"fmt"
	"net/http"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// Graph returns a client of the Graph API. It connects when it is first used.
func Graph(cfg *config.Graph, transport http.RoundTripper) (*graph.Client, error) {
	client, err := graph.New(cfg.Config, transport)
	if err != nil {
		return nil, fmt.Errorf("graph.%w", err)
	}
	return client, nil
}
