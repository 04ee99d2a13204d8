package schema

import (
	"maps"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
)

// AsyncAPI describes the subjects on which messages come and go, and their
// headers: an AsyncAPI document, version 3.
func AsyncAPI(cfg *config.Config) any {
	dataset := object{"description": "Id of the dataset: digits."}
	return object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "capi-dispatcher", "version": "1.0.0",
			"description": "Conversion events go from NATS JetStream to Meta's Conversions API. Everything is published with JetStream, and acknowledged.",
		},
		"defaultContentType": "application/json",
		"channels": object{
			"events": object{
				"address": cfg.NATS.Subject + ".{dataset}", "description": "Events to send.",
				"parameters": object{"dataset": object{
					"description": "Id of the dataset, or auto: it is named by the header " + header.Dataset +
						", else found by the account in the event.",
				}},
				"messages": object{"events": message("A server event, or a request body with up to 1000 of them.", produced())},
			},
			"due": object{
				"address": cfg.NATS.ParkedSubject + ".due.{dataset}", "parameters": object{"dataset": dataset},
				"description": "Events that have waited, and dead letters that are replayed. Only the dispatcher and its tools publish here.",
				"messages":    object{"parked": message("A server event, or a request body.", both(state(), parked()))},
			},
			"letters": object{
				"address":     cfg.NATS.DeadLetterSubject + ".{dataset}.{reason}",
				"description": "What Meta will not take.",
				"parameters": object{
					"dataset": object{"description": "Id of the dataset, or unknown."},
					"reason":  object{"enum": deadletter.Reasons(), "description": "Why."},
				},
				"messages": object{"letter": object{
					"summary":     "The event, or the message that could not be read, as it came.",
					"contentType": "application/octet-stream",
					"payload":     object{},
					"headers":     headers(both(state(), lettered())),
				}},
			},
		},
		"operations": object{
			"dispatch":   operation("receive", "events", "Send events to Meta."),
			"resume":     operation("receive", "due", "Take up events that have waited."),
			"park":       operation("send", "due", "Keep events until they can be sent."),
			"deadLetter": operation("send", "letters", "Set events aside that Meta will not take."),
		},
		"components": object{"schemas": object{"message": object{
			"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": Event(cfg),
		}}},
	}
}

func operation(action, channel, summary string) object {
	return object{"action": action, "channel": object{"$ref": "#/channels/" + channel}, "summary": summary}
}

func message(summary string, known map[string]string) object {
	return object{"summary": summary, "payload": object{"$ref": "#/components/schemas/message"}, "headers": headers(known)}
}

func headers(known map[string]string) object {
	properties := object{}
	for name, meaning := range known {
		properties[name] = object{"type": "string", "description": meaning}
	}
	return object{"type": "object", "properties": properties}
}

func both(groups ...map[string]string) map[string]string {
	all := make(map[string]string)
	for _, group := range groups {
		maps.Copy(all, group)
	}
	return all
}

// produced are the headers that producers may set.
func produced() map[string]string {
	return both(trace(), map[string]string{
		"Nats-Msg-Id":        "Identifies events without event_id; NATS drops a message of the same id for a while.",
		header.Dataset:       "The dataset of a message on auto.",
		header.TestEventCode: "test_event_code for events that have none of their own or beside them.",
		header.Conversation:  "The conversation that events without _capi are of, with attribution.",
		header.DedupeID:      "Identifies events without event_id, within their dataset.",
	})
}

func trace() map[string]string {
	const meaning = "W3C trace context."
	return map[string]string{header.TraceParent: meaning, header.TraceState: meaning, header.Baggage: "W3C baggage."}
}

// state are the headers on everything that the dispatcher has published.
func state() map[string]string {
	return both(trace(), map[string]string{
		header.Reason:         "Why it is here.",
		header.Envelope:       "What the request body said beside data, as JSON.",
		header.Attempts:       "Requests to Meta that the event was in.",
		header.MaybeSent:      "How many of these have an unknown outcome.",
		header.FirstSeen:      "When it was published first, RFC 3339.",
		header.OriginSubject:  "Where it was published first.",
		header.OriginSequence: "Its number in that stream.",
		header.DedupeID:       "What identifies an event without event_id.",
		header.Claim:          "The claim that it has kept in Redis, because it may have been sent.",
		header.ContentIDs:     "What identifies each of several events without event_id, where one event's differs from its content as it is here: a,,c.",
		header.Places:         "Where its events stood in the message that was published: 0,3-7.",
	})
}

func parked() map[string]string {
	return map[string]string{
		header.Parked:       "How often the event has been parked.",
		header.Recalled:     "When it was called back before its time, RFC 3339.",
		header.RefusedAlone: "When Meta refused the event alone, while it refused all of the dataset's that were tried, RFC 3339.",
		header.Accepted:     "When Meta had last accepted an event of the dataset when this one was called back, as far as the worker knew, RFC 3339.",
		header.Early:        "How often Meta took the event for one of the future.",
		header.Counted:      "1: that the event is late has been counted.",
		header.Undelivered:  "That it is a dead letter, which its stream has refused for now: the id under which it is to be stored.",
	}
}

func lettered() map[string]string {
	return map[string]string{
		header.Detail:         "All faults, as JSON.",
		header.GraphCode:      "Meta's error code.",
		header.GraphSubcode:   "Meta's error_subcode.",
		header.GraphMessage:   "Meta's words.",
		header.TraceID:        "Meta's name for the request.",
		header.Dataset:        "The dataset, if known.",
		header.DeadLetteredAt: "When, RFC 3339.",
		header.CutOff:         "How many bytes the event has, where it does not fit a message.",
	}
}
