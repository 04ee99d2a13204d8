package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

func (r *report) examineNATS(ctx context.Context, cfg *config.Config, nats *connect.Connection) {
	set := streams.New(cfg.NATS.Streams, nats, nil).KeyedBy(string(cfg.Dedupe.Key))
	version := nats.Conn().ConnectedServerVersion()
	if err := set.CheckServer(); err != nil {
		r.fault("nats server", err.Error(), "upgrade every server of the cluster")
	} else {
		r.ok("nats server", "%s; only the server we are connected to was asked", version)
	}
	if err := dispatcher.CheckRoom(nats.Conn().MaxPayload(), cfg.Delivery.MaxInFlightBytes); err != nil {
		r.fault("nats server", err.Error(), "raise delivery.max_in_flight_bytes, or lower the server's max_payload")
	}
	for _, found := range set.Inspect(ctx, nats.Rights) {
		if denied, ok := errors.AsType[*rights.DeniedError](found.Err); ok && denied.Subscribe {
			r.fault("nats", denied.Error(), "nothing can be asked without it")
			return
		}
		r.examineInspection(cfg, &found)
	}
}

func (r *report) examineInspection(cfg *config.Config, found *streams.Inspection) {
	before := len(r.findings)
	switch {
	case found.Missing() && cfg.NATS.Manage:
		r.warn(found.Name, "does not exist", "the first worker creates it; or run: capi-dispatcher stream ensure")
	case found.Missing():
		r.fault(found.Name, "does not exist", "create it, or set nats.manage to true")
	case found.Err != nil:
		r.examineError(cfg, found)
	}
	for _, text := range found.Warnings {
		r.warn(found.Name, text, "")
	}
	if found.Stream != nil {
		r.examineStream(cfg, found.Name, found.Stream)
	}
	if found.Consumer != nil {
		r.examineConsumer(cfg, found.Name, found.Consumer)
	}
	if len(r.findings) == before {
		r.ok(found.Name, "is as it should be")
	}
}

// examineError reports what keeps a stream or consumer from working. A
// consumer's AckWait is looked at on its own.
func (r *report) examineError(cfg *config.Config, found *streams.Inspection) {
	if denied, ok := errors.AsType[*rights.DeniedError](found.Err); ok {
		r.fault(found.Name, "cannot be looked at: "+denied.Error(), "")
		return
	}
	if words := streams.InWords(found.Err); words.Error() != found.Err.Error() {
		r.fault(found.Name, "cannot be looked at: "+words.Error(), "")
		return
	}
	if _, ok := errors.AsType[*streams.SetupError](found.Err); !ok {
		r.fault(found.Name, "cannot be looked at: "+found.Err.Error(), "check the account's permissions on $JS.API.>")
		return
	}
	if c := found.Consumer; c != nil && c.Config.AckWait != cfg.NATS.AckWait {
		return
	}
	r.fault(found.Name, found.Err.Error(), "")
}

func (r *report) examineStream(cfg *config.Config, name string, info *jetstream.StreamInfo) {
	have := info.Config
	clustered := info.Cluster != nil && info.Cluster.Name != ""
	if clustered && have.Replicas < 2 {
		r.warn(name, "has one replica in a cluster: a lost server takes its events with it",
			"nats stream edit "+have.Name+" --replicas 3")
	}
	if have.Sealed {
		r.fault(name, "is sealed: nothing can be added", "make a new stream; sealing cannot be undone")
	}
	if have.Retention == jetstream.InterestPolicy {
		r.warn(name, "has interest retention: what is published while it has no consumer is gone",
			"use limits retention, or work queue")
	}
	if have.Name == cfg.NATS.ParkedStream && have.Retention != jetstream.WorkQueuePolicy {
		r.warn(name, "is no work queue: every round of every parked event stays until max age",
			"create it with work queue retention")
	}
	if have.Name == cfg.NATS.ParkedStream && have.MaxAge != 0 && have.MaxAge < cfg.Delivery.Park.Max+time.Hour {
		r.fault(name,
			fmt.Sprintf("forgets events after %s, and they may be parked for %s", have.MaxAge, cfg.Delivery.Park.Max),
			"set max age to 0")
	}
	if have.Name == cfg.NATS.DeadLetterStream && have.DenyDelete {
		r.warn(name, "denies deleting: replayed letters stay", "replay with --keep, and mind not to replay twice")
	}
	if have.Storage == jetstream.FileStorage && have.Replicas < 2 {
		r.add("sync_interval of "+name, Warning, "one replica: a power failure takes what the server had not yet synced, up to 2 minutes by default; clients cannot see the setting",
			"look for jetstream { sync_interval } in the server's configuration; `always` syncs every message")
	}
}

// examineConsumer looks at the live AckWait. It is the server's that counts:
// a worker that believes in a longer one would hold messages that are
// another's.
func (r *report) examineConsumer(cfg *config.Config, name string, info *jetstream.ConsumerInfo) {
	have := info.Config
	switch {
	case have.AckWait < 2*cfg.Graph.Timeout:
		r.fault(name, fmt.Sprintf("has an AckWait of %s, less than twice graph.timeout %s: a message could go to another worker while it is being sent",
			have.AckWait, cfg.Graph.Timeout),
			fmt.Sprintf("nats consumer edit %s %s --wait %s", info.Stream, info.Name, cfg.NATS.AckWait))
	case have.AckWait < cfg.NATS.AckWait:
		r.fault(name, fmt.Sprintf("has an AckWait of %s, and nats.ack_wait is %s: workers would hold messages that are somebody else's",
			have.AckWait, cfg.NATS.AckWait), "give all workers the same nats.ack_wait, and restart them (nats.manage: false: edit the consumer)")
	case have.AckWait > cfg.NATS.AckWait:
		r.warn(name, fmt.Sprintf("has an AckWait of %s, and nats.ack_wait is %s", have.AckWait, cfg.NATS.AckWait),
			"give all workers the same nats.ack_wait, and restart them (nats.manage: false: edit the consumer)")
	}
	if info.Paused {
		r.warn(name, fmt.Sprintf("is paused for %s: no events are delivered", info.PauseRemaining.Round(time.Second)),
			"nats consumer resume "+info.Stream+" "+info.Name)
	}
	if have.MaxAckPending > 0 && have.MaxAckPending < cfg.Batch.MaxEvents {
		r.warn(name, fmt.Sprintf("lets %d messages be in flight, less than batch.max_events %d: batches stay small",
			have.MaxAckPending, cfg.Batch.MaxEvents),
			"raise nats.max_ack_pending")
	}
}
