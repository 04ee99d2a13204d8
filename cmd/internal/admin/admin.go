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
	"net/netip"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
)

// What a client may take. Nobody who reaches the port should be able to take
// the worker's memory, or to keep others from it.
const (
	maxConnections    = 64
	maxHeaderBytes    = 8 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second // of a whole request; none needs a body
	writeTimeout      = 30 * time.Second // of a whole answer
	idleTimeout       = 90 * time.Second // longer than Prometheus usually waits for its next scrape
)

// Server is the admin port.
type Server struct {
	listener net.Listener
	http     *http.Server
	done     chan error
}

// Pages are what is served beside the probe for life and the profiler.
type Pages struct {
	Metrics http.Handler
	// Conditions returns what has to hold for events to flow.
	Conditions func() []health.Condition
	// LogLevel shows the level of the log (GET), and changes it (PUT).
	LogLevel http.Handler
}

// Start listens and serves.
func Start(ctx context.Context, cfg config.Admin, pages Pages) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("admin.address: %w", err)
	}
	return Serve(listener, cfg, pages), nil
}

// Serve is Start on a listener that is there already, and closes it in the end.
func Serve(listener net.Listener, cfg config.Admin, pages Pages) *Server {
	open := &connections{most: maxConnections}
	s := &Server{
		listener: listener,
		http: &http.Server{
			Handler: routes(cfg, pages), ConnState: open.track, MaxHeaderBytes: maxHeaderBytes,
			ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		},
		done: make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s
}

// Address is where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Stop ends the server, and lets requests under way come to their end first:
// until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func routes(cfg config.Admin, pages Pages) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeReadiness(w, pages.Conditions()) })
	mux.Handle("GET /metrics", pages.Metrics)
	if pages.LogLevel != nil {
		mux.Handle("/log/level", fromHere(pages.LogLevel))
	}
	if cfg.Pprof {
		mux.HandleFunc("/debug/pprof/", unhurried(pprof.Index))
		mux.HandleFunc("/debug/pprof/profile", unhurried(pprof.Profile))
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", unhurried(pprof.Trace))
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	}
	return mux
}

// fromHere serves only clients on this machine, or who come through it, as those of
// `kubectl port-forward` do: whoever may read the metrics may not change anything.
func fromHere(page http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() {
			http.Error(w, "only from this machine: forward the port", http.StatusForbidden)
			return
		}
		page.ServeHTTP(w, r)
	}
}

// unhurried lets the profiler take as long as it was told to. It puts the time
// for writing off by itself, but when the time for reading is over, the server
// takes the client for gone.
func unhurried(profile http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		profile(w, r)
	}
}

// writeReadiness answers 200 if every condition holds but for warnings, else
// 503, with each condition and the reason for each no.
func writeReadiness(w http.ResponseWriter, conditions []health.Condition) {
	answer := struct {
		Ready      bool               `json:"ready"`
		Conditions []health.Condition `json:"conditions"`
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
