//! What clients would notice, and what they would not: one change each of a good document.

use serde_json::{Value, json};

use crate::registry::breaking;

fn base() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Pets", "version": "1"},
        "security": [{"login": ["pets.read"]}],
        "paths": {
            "/pets": {
                "get": {
                    "operationId": "listPets",
                    "parameters": [
                        {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}},
                        {"name": "kind", "in": "query", "schema": {"type": "string", "enum": ["cat", "dog"]}},
                        {"$ref": "#/components/parameters/Trace"},
                    ],
                    "responses": {
                        "200": {"description": "Pets", "content": {"application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}}}},
                        "304": {"description": "As before"},
                        "404": {"description": "None"},
                    },
                },
                "post": {
                    "operationId": "addPet",
                    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewPet"}}, "text/plain": {}}},
                    "responses": {"201": {"$ref": "#/components/responses/Made"}},
                },
            },
            "/pets/{id}": {"get": {"operationId": "getPet", "security": [], "responses": {"200": {"description": "One"}}}},
        },
        "components": {
            "securitySchemes": {"login": {"type": "oauth2"}},
            "parameters": {"Trace": {"name": "x-trace", "in": "header", "schema": {"type": "string", "maxLength": 64}}},
            "responses": {"Made": {"description": "Made", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}},
            "schemas": {
                "Pet": {"type": "object", "required": ["id", "name"], "properties": {
                    "id": {"type": "integer"}, "name": {"type": "string"}, "friend": {"$ref": "#/components/schemas/Pet"}}},
                "NewPet": {"allOf": [{"type": "object", "required": ["name"]}, {"properties": {
                    "name": {"type": "string", "minLength": 1}, "age": {"type": ["integer", "null"]}, "tags": {"type": "array", "items": {"type": "string"}}}}]},
            },
        },
    })
}

/// The rules and operations that one change breaks.
fn broken(change: impl FnOnce(&mut Value)) -> Vec<(&'static str, String)> {
    let mut new = base();
    change(&mut new);
    breaking(&base(), &new).into_iter().map(|one| (one.rule, one.operation)).collect()
}

fn check(rule: &str, operation: &str, change: impl FnOnce(&mut Value)) {
    let found = broken(change);
    assert!(found.iter().any(|one| one.0 == rule && one.1 == operation), "{rule} {operation}: {found:?}");
}

fn fine(what: &str, change: impl FnOnce(&mut Value)) {
    let found = broken(change);
    assert!(found.is_empty(), "{what}: {found:?}");
}

fn at<'a>(document: &'a mut Value, pointer: &str) -> &'a mut Value {
    document.pointer_mut(pointer).unwrap()
}

fn drop_key(document: &mut Value, pointer: &str, key: &str) {
    assert!(at(document, pointer).as_object_mut().unwrap().shift_remove(key).is_some());
}

const LIST: &str = "/paths/~1pets/get";
const PET: &str = "/components/schemas/Pet";
const NEW: &str = "/components/schemas/NewPet/allOf/1/properties";

#[test]
fn operations_that_go_or_change_their_names() {
    check("operation_removed", "listPets", |doc| drop_key(doc, "/paths/~1pets", "get"));
    check("operation_removed", "getPet", |doc| drop_key(doc, "/paths", "/pets/{id}"));
    check("operation_renamed", "listPets", |doc| at(doc, LIST)["operationId"] = json!("pets"));
    fine("another name of a parameter of the path", |doc| {
        let item = at(doc, "/paths").as_object_mut().unwrap().shift_remove("/pets/{id}").unwrap();
        doc["paths"]["/pets/{pet}"] = item;
    });
    fine("one more operation", |doc| doc["paths"]["/cats"] = json!({"get": {"operationId": "cats"}}));
    fine("other words", |doc| at(doc, LIST)["description"] = json!("better"));
    fine("the same again", |_| {});
}

#[test]
fn parameters_that_are_asked_for() {
    let more = |required: bool| {
        move |doc: &mut Value| {
            let parameter =
                json!({"name": "tenant", "in": "query", "required": required, "schema": {"type": "string"}});
            at(doc, LIST)["parameters"].as_array_mut().unwrap().push(parameter);
        }
    };
    check("required_parameter_added", "listPets", more(true));
    fine("one that may be left out", more(false));
    check("parameter_required", "listPets", |doc| at(doc, LIST)["parameters"][0]["required"] = json!(true));
    check("parameter_required", "listPets", |doc| doc["components"]["parameters"]["Trace"]["required"] = json!(true));
    fine("one that is gone is passed over", |doc| {
        at(doc, LIST)["parameters"].as_array_mut().unwrap().remove(0);
    });
}

#[test]
fn values_that_are_taken_no_longer() {
    let parameter = |at_index: usize, schema: Value| {
        move |doc: &mut Value| at(doc, LIST)["parameters"][at_index]["schema"] = schema
    };
    check("type_narrowed", "listPets", parameter(0, json!({"type": "string"})));
    check("type_narrowed", "listPets", parameter(0, json!({"type": "integer", "maximum": 50})));
    check("type_narrowed", "listPets", parameter(0, json!({"type": "integer", "maximum": 100, "minimum": 1})));
    check("type_narrowed", "listPets", parameter(1, json!({"type": "string", "enum": ["cat"]})));
    check("type_narrowed", "listPets", parameter(1, json!({"type": "string", "const": "cat"})));
    check("type_narrowed", "listPets", |doc| {
        doc["components"]["parameters"]["Trace"]["schema"]["maxLength"] = json!(32)
    });
    check("type_narrowed", "listPets", |doc| {
        doc["components"]["parameters"]["Trace"]["schema"]["pattern"] = json!("^a")
    });
    fine("a wider type", parameter(0, json!({"type": "number", "maximum": 100})));
    fine("a wider bound", parameter(0, json!({"type": "integer", "maximum": 200})));
    fine("one value more", parameter(1, json!({"type": "string", "enum": ["cat", "dog", "cow"]})));
    fine("any type", parameter(0, json!({})));
}

#[test]
fn bodies_that_are_asked_for() {
    check("request_body_required", "addPet", |doc| at(doc, "/paths/~1pets/post/requestBody")["required"] = json!(true));
    check("request_body_required", "listPets", |doc| {
        at(doc, LIST)["requestBody"] = json!({"required": true, "content": {}})
    });
    check("required_property_added", "addPet", |doc| {
        at(doc, "/components/schemas/NewPet/allOf/0/required").as_array_mut().unwrap().push(json!("age"))
    });
    check("type_narrowed", "addPet", |doc| at(doc, NEW)["age"]["type"] = json!("integer"));
    check("type_narrowed", "addPet", |doc| at(doc, NEW)["name"]["minLength"] = json!(2));
    check("type_narrowed", "addPet", |doc| at(doc, NEW)["tags"]["items"]["type"] = json!("integer"));
    check("type_narrowed", "addPet", |doc| {
        at(doc, "/components/schemas/NewPet/allOf/0")["additionalProperties"] = json!(false)
    });
    check("media_type_removed", "addPet", |doc| drop_key(doc, "/paths/~1pets/post/requestBody/content", "text/plain"));
    fine("one more member", |doc| at(doc, NEW)["colour"] = json!({"type": "string"}));
    fine("a body that may be sent", |doc| at(doc, LIST)["requestBody"] = json!({"content": {}}));
}

#[test]
fn answers_that_were_promised() {
    check("response_removed", "listPets", |doc| drop_key(doc, "/paths/~1pets/get/responses", "200"));
    check("response_removed", "listPets", |doc| drop_key(doc, "/paths/~1pets/get/responses", "304"));
    check("media_type_removed", "addPet", |doc| {
        drop_key(doc, "/components/responses/Made/content", "application/json")
    });
    check("response_property_removed", "listPets", |doc| drop_key(doc, "/components/schemas/Pet/properties", "name"));
    check("response_property_optional", "addPet", |doc| at(doc, PET)["required"] = json!(["id"]));
    check("response_type_changed", "addPet", |doc| at(doc, PET)["properties"]["id"]["type"] = json!("string"));
    check("response_type_changed", "addPet", |doc| {
        at(doc, PET)["properties"]["name"]["type"] = json!(["string", "null"])
    });
    fine("a failure less", |doc| drop_key(doc, "/paths/~1pets/get/responses", "404"));
    fine("one more member", |doc| at(doc, PET)["properties"]["colour"] = json!({"type": "string"}));
    fine("a narrower type", |doc| at(doc, PET)["properties"]["id"]["maximum"] = json!(9));
}

#[test]
fn scopes_that_are_asked_for_on_top() {
    let security = |value: Value| move |doc: &mut Value| at(doc, LIST)["security"] = value;
    check("scope_added", "listPets", security(json!([{"login": ["pets.read", "pets.list"]}])));
    check("scope_added", "listPets", security(json!([{"login": ["other"]}])));
    check("security_added", "getPet", |doc| drop_key(doc, "/paths/~1pets~1{id}/get", "security"));
    check("scope_added", "listPets", |doc| doc["security"] = json!([{"login": ["pets.all"]}]));
    fine("one way more", security(json!([{"login": ["pets.read"]}, {"login": ["pets.all"]}])));
    fine("a scope less", security(json!([{"login": []}])));
    fine("none at all", security(json!([])));
}

#[test]
fn schemas_that_contain_themselves_end() {
    let mut new = base();
    new["components"]["schemas"]["Pet"]["properties"]["friend"] =
        json!({"allOf": [{"$ref": "#/components/schemas/Pet"}]});

    assert_eq!(breaking(&base(), &new), []);
}
