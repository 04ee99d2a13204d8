package rules

import (
	"slices"
	"strings"
)

// checkPersonalData takes anything for a hash: Graph accepts personal data in
// the clear, and matches nobody by it.
func checkPersonalData(event object) *Error {
	return checkUser(event, members{
		either(anID(), aListOf(anID())), "em ph fn ln ge db ct st zp country external_id f5first f5last fi dobd dobm doby",
	})
}

func checkUserTexts(event object) *Error {
	return checkUser(event,
		members{aText(), "client_ip_address client_user_agent fbc fbp subscription_id anon_id madid partner_name ctwa_clid"},
		members{anID(), "fb_login_id partner_id page_id page_scoped_user_id whatsapp_business_account_id"},
		members{anID(), "ig_account_id instagram_business_account_id ig_sid"},
	)
}

func checkUser(event object, all ...members) *Error {
	if name, words, found := event.object("user_data").misfit(all...); found {
		return misshapen("user_data["+name+"]", words)
	}
	return nil
}

func checkLead(event object) *Error {
	user := event.object("user_data")
	if !user.has("lead_id") {
		return nil
	}
	id := user.text("lead_id")
	if !isDigits(id) || len(id) < 15 || len(id) > 17 {
		return badEvent(2804036, "Invalid Lead ID",
			"The lead_id must have 15 to 17 digits. The whole event group may be rejected.")
	}
	return nil
}

// checkCustomerInformation refuses what fits too many people. A chat's event
// names its person by the ids of its channel.
func checkCustomerInformation(event object) *Error {
	if isMessaging(event) {
		return nil
	}
	var told []string
	for name, value := range event.object("user_data") {
		if !isEmpty(value) {
			told = append(told, name)
		}
	}
	for _, broad := range []string{"ct country st zp ge client_user_agent", "db client_user_agent", "fn ge", "ln ge"} {
		if isSubset(told, strings.Fields(broad)) { // as is nothing at all
			return badEvent(2804050, "You haven't added sufficient customer information parameter data for this event",
				"This event doesn't have any customer information parameters, or it has a combination of customer information parameters "+
					"that's so broad that it's unlikely to be effective for matching.")
		}
	}
	return nil
}

func isSubset(names, of []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(of, name) })
}
