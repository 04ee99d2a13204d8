// Package doctor finds settings that contradict each other, or what is live in
// NATS, Redis and the token files: what a configuration cannot tell of itself.
//
// It only looks. Nothing is created or changed, but for one key in Redis that
// is claimed and released again, and no event is sent.
package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // it works, and may lose or repeat events one day
	Fault   Level = "fault"   // it does not work, or breaks the delivery promise
)

// Finding is one thing that was looked at.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Found is what is there.
	Found string `json:"found"`
	// Advice is what to set, or what to look at by hand.
	Advice string `json:"advice,omitempty"`
}

// Examine looks at everything the configuration names, as long as ctx lasts. A
// server that does not answer is a finding like others.
func Examine(ctx context.Context, cfg *config.Config) []Finding {
	var r report
	r.examineTimes(cfg)
	r.examineTokens(cfg)
	r.examineClearText(cfg)
	r.examineAttribution(cfg)
	if nats, err := connect.NATSNow(&cfg.NATS, connect.Worker); err != nil {
		r.fault("nats", err.Error(), "check nats.url and how it logs in")
	} else {
		r.examineNATS(ctx, cfg, nats)
		r.examineClicks(ctx, cfg, nats)
		nats.Conn().Close()
	}
	if client, err := connect.Redis(&cfg.Redis, 2); err != nil {
		r.fault("redis", err.Error(), "check redis.url and how it logs in")
	} else {
		r.examineRedis(ctx, cfg, client)
		_ = client.Close()
	}
	return r.findings
}

// Faults returns how many findings are faults, and how many are warnings.
func Faults(findings []Finding) (faults, warnings int) {
	for _, f := range findings {
		switch f.Level {
		case Fault:
			faults++
		case Warning:
			warnings++
		case OK:
		}
	}
	return faults, warnings
}

// Worst orders findings by level, the worst first.
func Worst(findings []Finding) []Finding {
	order := []Level{Fault, Warning, OK}
	sorted := slices.Clone(findings)
	slices.SortStableFunc(sorted, func(a, b Finding) int {
		return slices.Index(order, a.Level) - slices.Index(order, b.Level)
	})
	return sorted
}

// report gathers findings.
type report struct{ findings []Finding }

func (r *report) add(check string, level Level, found, advice string) {
	r.findings = append(r.findings, Finding{Check: check, Level: level, Found: found, Advice: advice})
}

func (r *report) ok(check, format string, args ...any) {
	r.add(check, OK, fmt.Sprintf(format, args...), "")
}

func (r *report) warn(check, found, advice string) { r.add(check, Warning, found, advice) }

func (r *report) fault(check, found, advice string) { r.add(check, Fault, found, advice) }
