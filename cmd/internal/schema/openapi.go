package schema

// OpenAPI describes the admin port: an OpenAPI document, version 3.1.
func OpenAPI() any {
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Admin port of capi-dispatcher", "version": "1.0.0",
			"description": "Probes, metrics and the log's level of a worker, on admin.address.",
		},
		"paths": object{
			"/livez": get("Whether the process lives.",
				object{"200": answer("It does.", "text/plain", object{"const": "ok\n"})}),
			"/readyz": get("Whether events flow, and what keeps them.", object{
				"200": answer("They do.", "application/json", readiness()),
				"503": answer("They do not.", "application/json", readiness()),
			}),
			"/metrics": get("Metrics for Prometheus.",
				object{"200": answer("All of them.", "text/plain", object{"type": "string"})}),
			"/log/level": logLevel(),
		},
	}
}

func logLevel() object {
	level := object{
		"type": "object", "required": []string{"level"},
		"properties": object{"level": object{"enum": []string{"debug", "info", "warn", "error"}}},
	}
	responses := object{
		"200": answer("It is this.", "application/json", level),
		"400": object{"description": "There is no such level."},
		"403": object{"description": "The client is not on the worker's machine; forward the port."},
	}
	path := get("The level of the log.", responses)
	path["put"] = object{
		"summary": "Change the level of the log, until the worker ends.", "responses": responses,
		"requestBody": object{"content": object{"application/json": object{"schema": level}}},
	}
	return path
}

func get(summary string, responses object) object {
	return object{"get": object{"summary": summary, "responses": responses}}
}

func answer(meaning, contentType string, schema object) object {
	return object{"description": meaning, "content": object{contentType: object{"schema": schema}}}
}

func readiness() object {
	return object{
		"type": "object", "required": []string{"ready", "conditions"}, "additionalProperties": false,
		"properties": object{
			"ready": object{"type": "boolean", "description": "Every condition holds, but for warnings."},
			"conditions": object{"type": "array", "items": object{
				"type": "object", "required": []string{"name", "ok"}, "additionalProperties": false,
				"properties": object{
					"name":    object{"type": "string"},
					"ok":      object{"type": "boolean"},
					"warning": object{"type": "boolean", "description": "Events flow all the same."},
					"reason":  object{"type": "string", "description": "What is wrong."},
					"since":   object{"type": "string", "format": "date-time", "description": "When it began to be as it is."},
				},
			}},
		},
	}
}
