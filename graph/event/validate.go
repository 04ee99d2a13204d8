package event

import (
	"fmt"
	"slices"
	"time"
)

// Meta's acceptance windows, counted back from the moment it receives an
// event. Source: Meta, "Using the API" and server event parameters (2026).
const (
	MaxAge              = 7 * 24 * time.Hour
	MaxAgePhysicalStore = 62 * 24 * time.Hour
)

// MaxAge tells how old the event may be when Meta receives it.
func (e *Event) MaxAge() time.Duration {
	if e.ActionSource == PhysicalStore {
		return MaxAgePhysicalStore
	}
	return MaxAge
}

// ExpiresAt tells from when on Meta no longer accepts the event.
func (e *Event) ExpiresAt() time.Time { return e.Time.Add(e.MaxAge()) }

// CheckTime says whether Meta would refuse the event's time at a moment.
// It returns nil when the time is fine.
func (e *Event) CheckTime(now time.Time) *Fault {
	switch {
	case now.After(e.ExpiresAt()):
		return &Fault{Pointer: "/event_time", Code: TooOld, Message: fmt.Sprintf(
			"event_time is older than the %d days that Meta accepts for this action_source", int(e.MaxAge().Hours()/24))}
	case e.Time.After(now):
		return &Fault{Pointer: "/event_time", Code: InFuture, Message: fmt.Sprintf(
			"event_time lies %s in the future", e.Time.Sub(now).Round(time.Second))}
	default:
		return nil
	}
}

// validate looks for what is wrong with the event once all of it is read.
func (p *parser) validate() {
	p.require(p.seen.name, "/event_name", "every event has an event_name")
	p.require(p.seen.time, "/event_time", "every event has an event_time, in seconds since 1970")
	p.require(p.seen.userData, "/user_data", "every event has a user_data object")
	p.require(p.seen.actionSource, "/action_source", "every event has an action_source")
	if s := p.event.ActionSource; s != "" && !slices.Contains(ActionSources(), s) {
		p.fault("/action_source", UnknownValue, "action_source is "+joinQuoted(ActionSources()))
	}
	if p.event.ActionSource == BusinessMessaging {
		p.validateMessaging()
	}
	u := &p.user
	p.event.Assets = Assets{Page: u.pageID, WhatsApp: u.whatsAppID, Instagram: firstOf(u.igAccountID, u.igBusinessID)}
}

// validateMessaging checks the ids that each channel requires. Source: Meta,
// business messaging guides; the guides differ in spelling, and either
// spelling is taken.
func (p *parser) validateMessaging() {
	p.require(p.seen.channel, "/messaging_channel",
		"a business_messaging event has a messaging_channel: "+joinQuoted(Channels()))
	u := &p.user
	switch p.event.Channel {
	case Messenger:
		p.require(u.hasPageID, "/user_data/page_id", "a messenger event needs page_id")
		p.require(u.hasPageScoped, "/user_data/page_scoped_user_id", "a messenger event needs page_scoped_user_id")
	case WhatsApp:
		p.require(u.hasCtwaClid, "/user_data/ctwa_clid", "a whatsapp event needs the ctwa_clid of the ad click")
		p.require(u.hasWhatsAppID || u.hasPageID, "/user_data/whatsapp_business_account_id",
			"a whatsapp event needs whatsapp_business_account_id or page_id")
	case Instagram:
		p.require(u.hasIGAccount, "/user_data/ig_account_id",
			"an instagram event needs ig_account_id or instagram_business_account_id")
		p.require(u.hasIGScoped, "/user_data/ig_sid", "an instagram event needs ig_sid")
	case "":
	default:
		p.fault("/messaging_channel", UnknownValue, "messaging_channel is "+joinQuoted(Channels()))
	}
}

func (p *parser) require(there bool, pointer, message string) {
	if !there {
		p.fault(pointer, Missing, message)
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
