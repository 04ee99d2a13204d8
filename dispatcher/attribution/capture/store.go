package capture

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/webhook"
)

// Store stores what webhooks tell. It is safe for concurrent use.
type Store struct {
	ring      *keyring.Ring
	publisher *clicks.Publisher
	js        jetstream.JetStream
	events    string // subject of conversions that Meta has detected; "" where they are left
	scale     int64
	meters    *Meters
}

// NewStore returns a store that publishes records.
func NewStore(ring *keyring.Ring, publisher *clicks.Publisher, meters *Meters) *Store {
	return &Store{ring: ring, publisher: publisher, meters: meters}
}

// PublishDetected has conversions that Meta has detected published as events, on a
// subject, with their value divided by scale. It returns the store.
func (s *Store) PublishDetected(js jetstream.JetStream, subject string, scale int) *Store {
	s.js, s.events, s.scale = js, subject, int64(scale)
	return s
}

// Store stores what a body tells, and returns nil once all of it is.
func (s *Store) Store(ctx context.Context, reduced webhook.Reduced) error {
	var records []clicks.Record
	detected := 0
	for i := range reduced.Updates {
		u := &reduced.Updates[i]
		if u.Detected == nil {
			records = append(records, clicks.New(s.ring, u))
			continue
		}
		if s.events == "" {
			reduced.Ignored++
			continue
		}
		if err := s.publishDetected(ctx, u); err != nil {
			return err
		}
		detected++
	}
	if err := s.publisher.Publish(ctx, records); err != nil {
		return err
	}
	s.meters.took(ctx, "stored", len(records))
	s.meters.took(ctx, "detected", detected)
	s.meters.took(ctx, "ignored", reduced.Ignored)
	s.meters.took(ctx, "malformed", reduced.Malformed)
	return nil
}

// detected is a conversion that Meta has detected, as an event.
type detected struct {
	Name    string            `json:"event_name"`
	Time    int64             `json:"event_time"`
	ID      string            `json:"event_id"`
	Source  string            `json:"action_source"`
	Channel string            `json:"messaging_channel"`
	User    map[string]string `json:"user_data"`
	Custom  map[string]any    `json:"custom_data,omitempty"`
}

// publishDetected publishes a conversion under an id that is the same whenever it comes
// again.
func (s *Store) publishDetected(ctx context.Context, u *webhook.Update) error {
	d := u.Detected
	e := detected{
		Name: d.Name, Time: u.At.Unix(), ID: d.ID + "/" + d.Name,
		Source: "business_messaging", Channel: string(u.Channel),
		User: map[string]string{"whatsapp_business_account_id": u.Account},
	}
	if u.Click != "" {
		e.User["ctwa_clid"] = u.Click
	}
	if value, err := strconv.ParseFloat(d.Value, 64); err == nil && d.Currency != "" {
		e.Custom = map[string]any{"currency": d.Currency, "value": value / float64(s.scale)}
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err = s.js.PublishMsg(ctx, &nats.Msg{Subject: s.events, Data: data}); err != nil {
		return fmt.Errorf("publishing a detected conversion: %w", err)
	}
	return nil
}
