package graph

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
)

// Meaning is what one of Graph's error codes says, and what follows from it.
type Meaning struct {
	Verdict Verdict
	// Title is what went wrong, in a few words.
	Title string
	// Advice is what a person should do.
	Advice string
	// Setting is the path of what can be set in a [Config] against it; "" is
	// none.
	Setting string
	// Blame is whose fault it is.
	Blame Blame
	// PerAsset marks errors about the page or account that an event names:
	// some events of a request may be fine, and the others are not to blame
	// either, so they are set apart and wait.
	PerAsset bool
}

// Blame says whose fault an error is: who has to change something before the
// same request can succeed.
type Blame string

// Who may be to blame.
const (
	BlameEvent   Blame = "event"   // the event's own content
	BlameAccount Blame = "account" // the page or account that the event names
	BlameDataset Blame = "dataset" // the dataset, or its business's limits
	BlameApp     Blame = "app"     // the app: its permissions, limits, or that it is gone
	BlameCaller  Blame = "caller"  // the operator: token, address, version
	BlameMeta    Blame = "meta"    // nobody but Meta
	// BlameUnclear: Meta says the same of a faulty event and of a setting that
	// lets nothing through.
	BlameUnclear Blame = "unclear"
)

// ErrorCode is a Graph error code, with a subcode or 0.
type ErrorCode struct{ Code, Subcode int }

func (c ErrorCode) String() string {
	if c.Subcode == 0 {
		return strconv.Itoa(c.Code)
	}
	return strconv.Itoa(c.Code) + "/" + strconv.Itoa(c.Subcode)
}

// ErrorCodes lists every code that is written down here, in order. A code
// without a subcode stands for its unknown subcodes, too.
func ErrorCodes() []ErrorCode {
	return slices.SortedFunc(maps.Keys(meanings()), func(a, b ErrorCode) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Subcode, b.Subcode))
	})
}

// Explain returns what a Graph error code and subcode mean. Either may be one
// that nobody has written down; ok is false then.
//
// Sources: Meta, "Handling Errors" and "Rate Limiting" (2026), and answers
// that users of the live API have published.
func Explain(errorCode, subcode int) (meaning Meaning, ok bool) {
	table := meanings()
	if m, ok := table[ErrorCode{errorCode, subcode}]; ok {
		return m, true
	}
	if errorCode == 100 && isEventSubcode(subcode) {
		return untitled(), true
	}
	if m, ok := table[ErrorCode{errorCode, 0}]; ok {
		return m, true
	}
	switch {
	case errorCode >= 200 && errorCode <= 299:
		return permission(), true
	case errorCode >= 80000 && errorCode <= 80014:
		return throttle(BlameDataset, "too many calls for this business use case"), true
	default:
		return Meaning{}, false
	}
}

// isEventSubcode reports whether a subcode is of the family that speaks of one
// event: all that have been published of it do, but for those of accounts.
func isEventSubcode(subcode int) bool { return subcode >= 2804000 && subcode <= 2804199 }

func permission() Meaning {
	return Meaning{
		Verdict: Paused, Blame: BlameApp, Title: "permission missing",
		Advice: "give the app or system user the permission for this dataset; sending resumes by itself",
	}
}

func throttle(blame Blame, title string) Meaning {
	return Meaning{
		Verdict: Throttled, Blame: blame, Title: title,
		Advice: "nothing; the dispatcher waits and slows this dataset down. If it lasts, fewer senders or larger batches help",
	}
}

func deadToken(title string) Meaning {
	return Meaning{
		Verdict: Paused, Blame: BlameCaller, Title: title,
		Advice: "put a valid access token into the dataset's token file; sending resumes by itself",
	}
}

func temporary(title string) Meaning {
	return Meaning{Verdict: Retry, Blame: BlameMeta, Title: title, Advice: "nothing; the dispatcher tries again"}
}

func badEvent(title, advice string) Meaning {
	return Meaning{Verdict: Refused, Blame: BlameEvent, Title: title, Advice: advice}
}

// untitled is for subcodes that others have met as errors of an event, and
// whose titles nobody has published.
func untitled() Meaning {
	return badEvent("some fault of the event; Meta's title for it is not known",
		"see Meta's message; correct the event and replay it")
}

func badLink(title, advice string) Meaning {
	return Meaning{Verdict: Paused, Blame: BlameAccount, Title: title, Advice: advice, PerAsset: true}
}

// meanings is the table. It is a function so that nobody can change it.
func meanings() map[ErrorCode]Meaning { //nolint:funlen // it is a table
	return map[ErrorCode]Meaning{
		{1, 0}:       temporary("unknown error on Meta's side, possibly temporary"),
		{1, 99}:      temporary("unknown error on Meta's side, possibly temporary"),
		{2, 0}:       temporary("service temporarily unavailable"),
		{3, 0}:       permission(),
		{4, 0}:       throttle(BlameApp, "too many calls by the app"),
		{4, 1504022}: throttle(BlameApp, "too many calls by the app"),
		{4, 1504039}: throttle(BlameApp, "too many calls by the app"),
		{5, 0}: {
			Verdict: Paused, Blame: BlameCaller, Title: "the address that the request came from is not allowed",
			Advice: "add the workers' address to the app's server IP allowlist, or send from one that is on it; sending resumes by itself",
		},
		{10, 0}:       permission(),
		{17, 0}:       throttle(BlameDataset, "too many calls by the user or for the ad account"),
		{17, 2446079}: throttle(BlameDataset, "too many calls for the ad account"),
		{32, 0}:       throttle(BlameDataset, "too many calls for the page"),
		{33, 0}:       unreachableDataset(),
		{100, 0}: {
			Verdict: Refused, Blame: BlameUnclear, Title: "invalid parameter",
			Advice: "see Meta's message; correct the event and replay it, or the setting that it speaks of",
		},
		{100, 33}: unreachableDataset(),
		{101, 0}: {
			Verdict: Paused, Blame: BlameApp, Title: "the app cannot be validated, or has been deleted",
			Advice: "restore the app, or put a token of another app into the dataset's token file; sending resumes by itself",
		},
		{102, 0}:   deadToken("session expired or invalid"),
		{104, 0}:   deadToken("an access token is required"),
		{190, 0}:   deadToken("access token expired, revoked or invalid"),
		{190, 452}: deadToken("session mismatch"),
		{190, 456}: deadToken("access token malformed"),
		{190, 457}: deadToken("access token used from the wrong origin"),
		{190, 458}: deadToken("the user has removed the app"),
		{190, 459}: deadToken("the user has to log in at facebook.com first (checkpoint)"),
		{190, 460}: deadToken("the user's password has changed"),
		{190, 461}: deadToken("the app was installed anew"),
		{190, 462}: deadToken("access token of an old version"),
		{190, 463}: deadToken("access token expired"),
		{190, 464}: deadToken("the user is not confirmed"),
		{190, 465}: deadToken("invalid user, or a system user of another business"),
		{190, 466}: deadToken("access token invalidated"),
		{190, 467}: deadToken("access token invalid, or logged out"),
		{190, 468}: deadToken("the app was unused for too long"),
		{190, 492}: deadToken("invalid session: the role on the page was lost"),
		{341, 0}:   throttle(BlameApp, "temporary limit of the application"),
		{368, 0}: {
			Verdict: Paused, Blame: BlameApp, Title: "temporarily blocked for a policy violation",
			Advice: "see the app's and the business's support inbox; sending resumes by itself once Meta lifts the block",
		},
		{613, 0}:       throttle(BlameDataset, "custom rate limit reached"),
		{613, 1487742}: throttle(BlameDataset, "too many calls for the ad account"),
		{803, 0}:       unreachableDataset(),
		{960, 0}:       temporary("batch timed out on Meta's side"),
		{2500, 0}:      unreachableDataset(),
		{2635, 0}: {
			Verdict: Paused, Blame: BlameCaller, Title: "this version of the Graph API is switched off",
			Advice: "use a current version of the Graph API", Setting: "version",
		},
		{5000, 0}:  temporary("unknown error on Meta's side"),
		{21009, 0}: temporary("the data set upload is temporarily not ready"),

		{80000, 0}:       throttle(BlameDataset, "too many calls: ads insights"),
		{80001, 0}:       throttle(BlameDataset, "too many calls: pages"),
		{80002, 0}:       throttle(BlameDataset, "too many calls: Instagram"),
		{80003, 0}:       throttle(BlameDataset, "too many calls: custom audiences"),
		{80004, 0}:       throttle(BlameDataset, "too many calls: ads management"),
		{80004, 2446079}: throttle(BlameDataset, "too many calls for the ad account"),
		{80005, 0}:       throttle(BlameDataset, "too many calls: lead generation"),
		{80006, 0}:       throttle(BlameDataset, "too many calls: Messenger"),
		{80008, 0}:       throttle(BlameDataset, "too many calls: WhatsApp Business management"),
		{80009, 0}:       throttle(BlameDataset, "too many calls: catalogue management"),
		{80014, 0}:       throttle(BlameDataset, "too many calls: catalogue batches"),

		{100, 2804001}: untitled(),
		{100, 2804003}: badEvent("event timestamp too old", "events are accepted for 7 days; send them sooner"),
		{100, 2804004}: badEvent("event timestamp in the future",
			"check the producer's clock, and that event_time is in seconds"),
		{100, 2804007}: untitled(),
		{100, 2804008}: badEvent("contents is not a list of objects", "correct custom_data.contents"),
		{100, 2804009}: badEvent("purchase without a value", "set custom_data.value"),
		{100, 2804010}: badEvent("purchase without currency or value", "set custom_data.currency and custom_data.value"),
		{100, 2804011}: badEvent("currency not accepted for purchases", "use a currency that Meta's ads support"),
		{100, 2804016}: badEvent("invalid field in custom_data", "see Meta's message"),
		{100, 2804017}: untitled(),
		{100, 2804019}: badEvent("a required field is missing", "see Meta's message"),
		{100, 2804030}: badEvent("limited data use selection required", "set data_processing_options"),
		{100, 2804036}: badEvent("invalid lead_id", "correct user_data.lead_id: 15 to 17 digits"),
		{100, 2804043}: badEvent("app event without an OS version", "fill slot 4 of app_data.extinfo"),
		{100, 2804048}: untitled(),
		{100, 2804050}: badEvent("not enough customer information", "send more of user_data"),
		{100, 2804063}: badEvent("messaging_channel missing", "set messaging_channel"),
		{100, 2804064}: badEvent("argument not allowed on a messaging event",
			"leave out client_ip_address, client_user_agent and the like"),
		{100, 2804066}: badEvent("event name not allowed on a messaging event",
			"use one of the business messaging event names, such as LeadSubmitted"),
		{100, 2804069}: badEvent("page_id missing", "set user_data.page_id"),
		{100, 2804071}: badEvent("ctwa_clid missing", "set user_data.ctwa_clid, from the referral of the first message"),
		{100, 2804072}: badEvent("page_id is not the page whose ad was clicked",
			"send the page whose ad produced this ctwa_clid, or the WhatsApp Business Account"),
		{100, 2804075}: badEvent("ig_sid missing", "set user_data.ig_sid"),
		{100, 2804079}: badEvent("ig_account_id missing", "set user_data.ig_account_id"),
		{100, 2804081}: badEvent("currency missing", "set custom_data.currency"),
		{100, 2804087}: badEvent("ctwa_clid is not of a real click", "send the ctwa_clid exactly as the webhook gave it"),
		{100, 2804116}: badEvent("page_id or whatsapp_business_account_id missing", "set one of the two in user_data"),

		{100, 2804131}: badLink("no page linked to this dataset",
			"link the page to the dataset, or send the id of the account that is linked; the events wait"),
		{100, 2804132}: badLink("no WhatsApp Business Account linked to this dataset",
			"link the account: POST /{waba-id}/dataset; the events wait"),
		{100, 2804133}: badLink("no Instagram account linked to this dataset",
			"link the account, inside one Business Manager; the events wait"),
	}
}

func unreachableDataset() Meaning {
	return Meaning{
		Verdict: Paused, Blame: BlameDataset, Title: "dataset unknown, or the token has no access to it",
		Advice: "check the dataset id, and that the token's app or system user is assigned to the dataset; sending resumes by itself",
	}
}
