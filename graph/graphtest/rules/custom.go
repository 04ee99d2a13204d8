package rules

import (
	"strings"

	"github.com/bojanz/currency"
	tender "golang.org/x/text/currency"
)

// checkCustom is for the types of custom_data.
func checkCustom(event object) *Error {
	custom := event.object("custom_data")
	name, words, found := custom.misfit(
		members{orEmpty(aNumber()), "value net_revenue predicted_ltv"},
		members{orEmpty(aCurrency()), "currency"},
		members{aListOf(anID()), "content_ids"},
		members{aDeliveryCategory(), "delivery_category"},
		members{anIntegerOrItsText(), "num_items"},
		members{aText(), "content_name content_category content_type search_string item_number event_source lead_event_source"},
		members{anID(), "order_id"},
		members{either(aText(), aBoolean()), "status"},
	)
	if found {
		return badCustom(name, words)
	}
	if custom.has("contents") {
		return checkContents(custom["contents"])
	}
	return nil
}

func checkContents(contents any) *Error {
	if _, list := contents.([]any); !list {
		return badParameter("must be an array", "custom_data", "contents")
	}
	if !aListOf(anObject()).fits(contents) {
		return badEvent(2804008, "Invalid Contents", "The contents parameter must be a list of JSON objects.")
	}
	for _, content := range contents.([]any) {
		item, _ := content.(map[string]any)
		if object(item).has("name") {
			return Invalid(`(#100) Unexpected key "name" on param custom_data[contents]`)
		}
		name, words, found := object(item).misfit(
			members{anID(), "id"},
			members{anInteger(), "quantity"},
			members{aNumber(), "item_price"},
			members{aText(), "title description brand category"},
			members{aDeliveryCategory(), "delivery_category"},
		)
		if found {
			return badCustom("contents["+name+"]", words)
		}
	}
	return nil
}

func checkPurchase(event object) *Error {
	if event["event_name"] != "Purchase" {
		return nil
	}
	custom := event.object("custom_data")
	switch code := custom.text("currency"); {
	case custom.text("value") == "":
		return badEvent(2804009, "Missing Value for Purchase Event",
			"Your purchase event doesn’t include a value parameter. Enter a value. For example: 1.99")
	case code == "":
		return badEvent(2804010, "Missing Currency for Purchase Event",
			"Your purchase event doesn’t include a currency parameter.")
	case strings.EqualFold(code, "MRU"): // of ISO 4217, and yet
		return badEvent(2804011, "Invalid Currency For Purchase Event", "The currency is not supported.")
	}
	return nil
}

// checkOrder is for an order in a chat.
func checkOrder(event object) *Error {
	if isMessaging(event) && event["event_name"] == "OrderCreated" && event.object("custom_data").text("currency") == "" {
		return badEvent(2804081, "Missing Currency", "Your event must include a currency parameter.")
	}
	return nil
}

func aCurrency() shape {
	return shape{"a currency code of ISO 4217", func(v any) bool {
		code, ok := v.(string)
		// Some longer letters, like ſ, have upper cases of ASCII.
		return ok && len(code) == 3 && (currency.IsValid(strings.ToUpper(code)) || wasTender(strings.ToUpper(code)))
	}}
}

// wasTender reports whether a currency was withdrawn. That Meta refuses any but MRU
// has not been reported.
func wasTender(code string) bool {
	for all := tender.Query(tender.Historical); all.Next(); {
		if all.Unit().String() == code {
			return true
		}
	}
	return false
}

func aDeliveryCategory() shape { return oneOf("in_store", "curbside", "home_delivery") }

func badCustom(name, words string) *Error {
	return badEvent(2804016, "Invalid Custom Data", "The custom_data parameter "+name+" must be "+words+".")
}
