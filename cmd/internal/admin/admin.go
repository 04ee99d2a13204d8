// Package admin serves the probes, the metrics and, if asked for, the profiler.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
)

// Server is the admin port.
type Server struct {
	listener net.Listener
	http     *http.Server
	done     chan error
}

// Start listens and serves. conditions tells what has to hold for events to
// flow.
func Start(ctx context.Context, cfg config.Admin, metrics http.Handler, conditions func() []dispatcher.Condition) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("admin.address: %w", err)
	}
	s := &Server{
		listener: listener,
		http:     &http.Server{Handler: routes(cfg, metrics, conditions), ReadHeaderTimeout: 5 * time.Second},
		done:     make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// Address is where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Stop ends the server, and lets requests under way come to their end first.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func routes(cfg config.Admin, metrics http.Handler, conditions func() []dispatcher.Condition) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeReadiness(w, conditions()) })
	mux.Handle("GET /metrics", metrics)
	if cfg.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	}
	return mux
}

// writeReadiness answers 200 if every condition holds but for warnings, else
// 503, with each condition and the reason for each no.
func writeReadiness(w http.ResponseWriter, conditions []dispatcher.Condition) {
	answer := struct {
		Ready      bool                   `json:"ready"`
		Conditions []dispatcher.Condition `json:"conditions"`
	}{Ready: true, Conditions: conditions}
	for _, c := range conditions {
		answer.Ready = answer.Ready && !c.Blocks()
	}
	w.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(answer)
}
