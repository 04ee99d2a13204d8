package event_test

import (
	"encoding/json"
	"strings"
)

// object is an event in the making.
type object map[string]any

// absent takes a member out.
type absent struct{}

// with returns a copy with the member at a path of dots set, or taken out.
func (o object) with(path string, value any) object {
	text, _ := json.Marshal(o)
	var made object
	_ = json.Unmarshal(text, &made)
	at := map[string]any(made)
	words := strings.Split(path, ".")
	for _, word := range words[:len(words)-1] {
		if at[word] == nil {
			at[word] = map[string]any{}
		}
		at = at[word].(map[string]any)
	}
	if at[words[len(words)-1]] = value; value == (absent{}) {
		delete(at, words[len(words)-1])
	}
	return made
}

func (o object) String() string {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(text)
}

const at = 1675999999

func other() object {
	return object{"event_name": "Contact", "event_time": at, "action_source": "other", "user_data": object{"external_id": "u1"}}
}

func website() object {
	return other().with("action_source", "website").with("event_source_url", "https://shop.example/thanks")
}

func app() object {
	return other().with("action_source", "app").with("app_data", object{"advertiser_tracking_enabled": 1, "extinfo": extinfo()})
}

func extinfo() []any {
	return []any{"i2", "com.example.app", "1.0", "1.0 long", "13.4.1", "iPhone5,1", "En_US", "PDT", "AT&T", 320, "568", "2", 2, "", 8, "USA/New York"}
}

func slotOf(index int, value any) []any {
	slots := extinfo()
	slots[index] = value
	return slots
}

func chat(channel string, user object) object {
	return object{
		"event_name": "LeadSubmitted", "event_time": at, "action_source": "business_messaging",
		"messaging_channel": channel, "user_data": user,
	}
}

func messengerChat() object {
	return chat("messenger", object{"page_id": "1061", "page_scoped_user_id": "7012"})
}

func whatsAppChat() object {
	return chat("whatsapp", object{"whatsapp_business_account_id": 102, "ctwa_clid": "ARAk"})
}
func instagramChat() object { return chat("instagram", object{"ig_account_id": 17, "ig_sid": "8"}) }

func purchase() object {
	return messengerChat().with("event_name", "Purchase").with("custom_data", object{"value": 1.5, "currency": "USD"})
}

func limited() object {
	return other().with("data_processing_options", []string{"LDU"}).with("data_processing_options_country", 1).with("data_processing_options_state", 1000)
}
