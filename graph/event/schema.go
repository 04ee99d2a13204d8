package event

import (
	"fmt"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/reference"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// field says what a member of an object has to be: a value of a kind, or an
// object, or a list. Exactly one of kind, members, elements and read is set.
type field struct {
	name string
	// slot is where the parser keeps the member, for rules about more than
	// one; most members have none.
	slot slot
	// subcode is what Meta answers to a value of the wrong kind.
	subcode int

	// required: as an element of a list, null will not do.
	required bool
	// personal: it says something of the customer, and Meta wants it hashed.
	personal bool

	kind     scalar.Kind
	members  schema // of an object
	elements *field // of a list
	read     func(*parser, *field) error
}

// schema is what is known of the members of an object. Members that it does
// not know pass through.
type schema map[string]*field

// newSchema makes a schema out of fields, looked up by name.
func newSchema(groups ...[]*field) schema {
	s := make(schema)
	for _, group := range groups {
		for _, f := range group {
			s[f.name] = f
		}
	}
	return s
}

// each gives several names the same kind.
func each(k scalar.Kind, names ...string) []*field { return eachWith(0, k, names...) }

func eachWith(subcode int, k scalar.Kind, names ...string) []*field {
	fields := make([]*field, len(names))
	for i, name := range names {
		fields[i] = &field{name: name, kind: k, subcode: subcode}
	}
	return fields
}

// eventSchema is a server event. Sources: Meta, server event parameters, app
// data, customer information and custom data parameters (2026).
func eventSchema() schema {
	k := scalar.NewKinds()
	return newSchema([]*field{
		{name: "event_name", slot: slotName, kind: k.Text},
		{name: "event_id", slot: slotID, kind: k.ID},
		{name: "event_time", slot: slotTime, read: (*parser).eventTime},
		{name: "test_event_code", slot: slotTestCode, kind: k.ID},
		{name: reference.Member, slot: slotReference, read: (*parser).anything},
		{name: "action_source", slot: slotSource, kind: scalar.OneOf(ActionSources()...)},
		{name: "messaging_channel", slot: slotChannel, read: (*parser).anything},
		{name: "event_source_url", slot: slotURL, kind: k.Text},
		{name: "user_data", slot: slotUser, members: userSchema(k)},
		{name: "custom_data", slot: slotCustom, members: customSchema(k)},
		{name: "app_data", slot: slotApp, members: appSchema(k)},
		{name: "data_processing_options", slot: slotOptions, elements: &field{kind: scalar.OneOf(limitedDataUse)}},
		{name: "data_processing_options_country", slot: slotOptionsCountry, kind: scalar.OneNumberOf("0", "1")},
		{name: "data_processing_options_state", slot: slotOptionsState, kind: scalar.OneNumberOf("0", "1000")},
		{name: "original_event_data", members: newSchema(
			each(k.Text, "event_name"), each(k.Seconds, "event_time"), each(k.ID, "order_id", "event_id"))},
		{name: "attribution_data", members: attributionSchema(k)},
		{name: "opt_out", kind: k.Boolean},
	}, each(k.Text, "referrer_url", "advanced_measurement_table"))
}

func attributionSchema(k scalar.Kinds) schema {
	return newSchema(
		each(k.Text, "scope", "attribution_model", "attribution_source", "attribution_method", "touchpoint_type",
			"decline_reason", "auditing_token", "linkage_key", "partner_client_id"),
		each(k.ID, "ad_id", "adset_id", "campaign_id", "touchpoint_id"),
		each(k.Whole, "visit_time", "attr_window", "touchpoint_ts"),
		each(k.Number, "attribution_share", "attribution_value", "total_credit"),
		[]*field{{
			name:    "attribution_setting",
			members: newSchema(each(k.Whole, "inactivity_window_hours", "reattribution_window_hours")),
		}},
	)
}

func appSchema(k scalar.Kinds) schema {
	return newSchema(
		each(k.Flag, "application_tracking_enabled", "consider_views", "include_dwell_data", "include_video_data"),
		each(k.Text, "campaign_ids", "install_referrer", "installer_package", "receipt_data", "windows_attribution_id"),
		[]*field{
			{name: "advertiser_tracking_enabled", slot: slotTracking, kind: k.Flag},
			{name: "url_schemes", elements: &field{kind: k.Text}},
			{name: "extinfo", slot: slotExtinfo, read: extinfoReader(k)},
		},
	)
}

func userSchema(k scalar.Kinds) schema {
	s := newSchema([]*field{
		{name: "client_ip_address", slot: slotIP, kind: k.Text},
		{name: "client_user_agent", slot: slotUserAgent, kind: k.Text},
		{name: "fbc", slot: slotFBC, kind: k.Text},
		{name: "fbp", slot: slotFBP, kind: k.Text},
		{name: "lead_id", kind: scalar.LeadID(), subcode: 2804036},
		{name: "page_id", slot: slotPage, kind: k.Account},
		{name: "page_scoped_user_id", slot: slotPageUser, kind: k.Account},
		{name: "whatsapp_business_account_id", slot: slotWhatsApp, kind: k.Account},
		{name: "ctwa_clid", slot: slotClick, kind: k.Text},
		{name: "ig_account_id", slot: slotInstagram, kind: k.Account},
		{name: "instagram_business_account_id", slot: slotInstagramBusiness, kind: k.Account},
		{name: "ig_sid", slot: slotInstagramUser, kind: k.Account},
	}, each(k.Text, "subscription_id", "anon_id", "madid", "partner_name"), each(k.ID, "fb_login_id", "partner_id"))
	for _, name := range customer.Fields() {
		s[string(name)] = &field{name: string(name), personal: true, read: (*parser).personal}
	}
	s[string(customer.Country)].slot = slotCountry
	return s
}

// customFault is Meta's subcode for a member of custom_data that is not what it
// should be.
const customFault = 2804016

func customSchema(k scalar.Kinds) schema {
	contents := newSchema(
		eachWith(customFault, k.ID, "id"), eachWith(customFault, k.Count, "quantity"),
		eachWith(customFault, k.Number, "item_price"),
		eachWith(customFault, k.Text, "title", "description", "brand", "category"),
		eachWith(customFault, scalar.DeliveryCategory(), "delivery_category"),
		[]*field{{name: "name", read: (*parser).contentName}},
	)
	return newSchema([]*field{
		{name: "value", slot: slotValue, kind: k.Amount, subcode: customFault},
		{name: "currency", slot: slotCurrency, kind: scalar.Currency(), subcode: customFault},
		{name: "content_ids", subcode: customFault, elements: &field{kind: k.ID, subcode: customFault}},
		{name: "contents", subcode: missingField, elements: &field{members: contents, subcode: 2804008}},
	},
		eachWith(customFault, k.Amount, "net_revenue", "predicted_ltv"),
		eachWith(customFault, k.WholeText, "num_items"),
		eachWith(customFault, k.TextOrBoolean, "status"),
		eachWith(customFault, k.ID, "order_id"),
		eachWith(customFault, scalar.DeliveryCategory(), "delivery_category"),
		eachWith(customFault, k.Text, "content_name", "content_category", "content_type", "search_string", "item_number",
			"event_source", "lead_event_source"),
	)
}

// extinfoSlots is how many values extinfo has; those that are not known are
// empty strings. Source: Meta, app data parameters (2026).
const extinfoSlots = 16

// extinfoReader reads extinfo, whose values are told apart by their place.
func extinfoReader(k scalar.Kinds) func(*parser, *field) error {
	text, whole := &field{kind: k.QuotedText}, &field{kind: k.WholeOrEmpty}
	known := map[int]*field{
		0:  {kind: scalar.OneOf("a2", "i2"), required: true},
		2:  {kind: k.QuotedVersion},
		4:  {kind: k.OSVersion, subcode: 2804043, required: true},
		9:  whole,
		10: whole,
		12: whole,
		13: whole,
		14: whole,
	}
	return func(p *parser, f *field) error {
		length, err := p.elements(f, func(index int) *field {
			if f := known[index]; f != nil {
				return f
			}
			return text
		})
		if length >= 0 && length != extinfoSlots {
			p.fault(WrongLength, 0,
				fmt.Sprintf("has %d values, not %d; those that are not known are empty strings", length, extinfoSlots))
		}
		return err
	}
}
