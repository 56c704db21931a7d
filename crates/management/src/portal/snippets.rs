//! A call in several languages, to be copied. The token comes from the environment, as it should in a program.

use serde::Serialize;

use super::reference::Content;

#[derive(Serialize)]
pub(super) struct Snippet {
    pub language: &'static str,
    pub text: String,
}

pub(super) fn all(method: &str, url: &str, body: Option<&Content>) -> Vec<Snippet> {
    let body = body.filter(|_| !matches!(method, "GET" | "HEAD" | "DELETE"));
    let media_type = body.map(|body| body.media_type.as_str());
    let text = body.map(|body| body.example.as_str());
    let call = Call { method, url, media_type, body: text };
    let snippet = |language, text| Snippet { language, text };
    vec![
        snippet("curl", call.curl()),
        snippet("JavaScript", call.javascript()),
        snippet("Python", call.python()),
        snippet("Go", call.go()),
        snippet("Java", call.java()),
        snippet("C#", call.csharp()),
        snippet("PHP", call.php()),
        snippet("Ruby", call.ruby()),
    ]
}

/// How a registered client gets a token for its own calls: it shows its secret as `client_secret_basic` (RFC 6749
/// §2.3.1, §4.4).
pub(super) fn token(endpoint: &str, scopes: &[String]) -> String {
    let scope = match scopes.is_empty() {
        true => String::new(),
        false => format!(" \\\n  -d {}", shell(&format!("scope={}", scopes.join(" ")))),
    };
    format!(
        "TOKEN=$(curl -s -u \"$CLIENT_ID:$CLIENT_SECRET\" {} \\\n  -d grant_type=client_credentials{scope} |\n  sed -n 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/p')\nexport TOKEN",
        shell(endpoint)
    )
}

struct Call<'a> {
    method: &'a str,
    url: &'a str,
    media_type: Option<&'a str>,
    body: Option<&'a str>,
}

/// A string of JSON, which JavaScript, Python, Go, Java and C# read alike.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// In single quotes of a shell.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// In single quotes of PHP and Ruby.
fn single(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

impl Call<'_> {
    fn curl(&self) -> String {
        let method = if self.method == "GET" { String::new() } else { format!(" -X {}", self.method) };
        let mut out = format!("curl{method} {} \\\n  -H \"Authorization: Bearer $TOKEN\"", shell(self.url));
        if let (Some(media_type), Some(body)) = (self.media_type, self.body) {
            out.push_str(&format!(" \\\n  -H 'Content-Type: {media_type}' \\\n  -d {}", shell(body)));
        }
        out
    }

    fn javascript(&self) -> String {
        let mut headers = "    Authorization: `Bearer ${process.env.TOKEN}`,\n".to_owned();
        let mut body = String::new();
        if let (Some(media_type), Some(text)) = (self.media_type, self.body) {
            headers.push_str(&format!("    'Content-Type': '{media_type}',\n"));
            body = format!("  body: {},\n", quoted(text));
        }
        format!(
            "const answer = await fetch({}, {{\n  method: '{}',\n  headers: {{\n{headers}  }},\n{body}}});\nconsole.log(answer.status, await answer.text());",
            quoted(self.url),
            self.method
        )
    }

    fn python(&self) -> String {
        let mut headers = "\"Authorization\": f\"Bearer {os.environ['TOKEN']}\"".to_owned();
        let mut data = String::new();
        if let (Some(media_type), Some(text)) = (self.media_type, self.body) {
            headers.push_str(&format!(", \"Content-Type\": \"{media_type}\""));
            data = format!(", data={}.encode()", quoted(text));
        }
        format!(
            "import os, urllib.request\n\nrequest = urllib.request.Request({}, method=\"{}\"{data},\n    headers={{{headers}}})\nwith urllib.request.urlopen(request) as answer:\n    print(answer.status, answer.read().decode())",
            quoted(self.url),
            self.method
        )
    }

    fn go(&self) -> String {
        let body = self.body.map_or_else(|| "nil".to_owned(), |text| format!("strings.NewReader({})", quoted(text)));
        let strings = if self.body.is_some() { "\n\t\"strings\"" } else { "" };
        let media_type =
            self.media_type.map(|media_type| format!("\n\trequest.Header.Set(\"Content-Type\", \"{media_type}\")"));
        format!(
            "package main\n\nimport (\n\t\"fmt\"\n\t\"io\"\n\t\"net/http\"\n\t\"os\"{strings}\n)\n\nfunc main() {{\n\trequest, _ := http.NewRequest(\"{}\", {}, {body})\n\trequest.Header.Set(\"Authorization\", \"Bearer \"+os.Getenv(\"TOKEN\")){}\n\tanswer, err := http.DefaultClient.Do(request)\n\tif err != nil {{\n\t\tpanic(err)\n\t}}\n\ttext, _ := io.ReadAll(answer.Body)\n\tfmt.Println(answer.StatusCode, string(text))\n}}",
            self.method,
            quoted(self.url),
            media_type.unwrap_or_default()
        )
    }

    fn java(&self) -> String {
        let publisher = self.body.map_or_else(
            || "HttpRequest.BodyPublishers.noBody()".to_owned(),
            |text| format!("HttpRequest.BodyPublishers.ofString({})", quoted(text)),
        );
        let media_type = self.media_type.map(|media_type| format!("\n    .header(\"Content-Type\", \"{media_type}\")"));
        format!(
            "var request = HttpRequest.newBuilder(URI.create({}))\n    .method(\"{}\", {publisher})\n    .header(\"Authorization\", \"Bearer \" + System.getenv(\"TOKEN\")){}\n    .build();\nvar answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());\nSystem.out.println(answer.statusCode() + \" \" + answer.body());",
            quoted(self.url),
            self.method,
            media_type.unwrap_or_default()
        )
    }

    fn csharp(&self) -> String {
        let content = match (self.media_type, self.body) {
            (Some(media_type), Some(text)) => {
                format!("request.Content = new StringContent({}, null, \"{media_type}\");\n", quoted(text))
            }
            _ => String::new(),
        };
        format!(
            "using var client = new HttpClient();\nvar request = new HttpRequestMessage(new HttpMethod(\"{}\"), {});\nrequest.Headers.Add(\"Authorization\", \"Bearer \" + Environment.GetEnvironmentVariable(\"TOKEN\"));\n{content}var answer = await client.SendAsync(request);\nConsole.WriteLine($\"{{(int)answer.StatusCode}} {{await answer.Content.ReadAsStringAsync()}}\");",
            self.method,
            quoted(self.url)
        )
    }

    fn php(&self) -> String {
        let mut headers = "'Authorization: Bearer ' . getenv('TOKEN')".to_owned();
        let mut content = String::new();
        if let (Some(media_type), Some(text)) = (self.media_type, self.body) {
            headers.push_str(&format!(", 'Content-Type: {media_type}'"));
            content = format!("\n    'content' => {},", single(text));
        }
        format!(
            "<?php\n$context = stream_context_create(['http' => [\n    'method' => '{}',\n    'header' => [{headers}],{content}\n    'ignore_errors' => true,\n]]);\necho file_get_contents({}, false, $context);",
            self.method,
            single(self.url)
        )
    }

    fn ruby(&self) -> String {
        let mut headers = "\"Authorization\" => \"Bearer #{ENV[\"TOKEN\"]}\"".to_owned();
        let mut body = String::new();
        if let (Some(media_type), Some(text)) = (self.media_type, self.body) {
            headers.push_str(&format!(", \"Content-Type\" => \"{media_type}\""));
            body = format!("request.body = {}\n", single(text));
        }
        let class = match self.method {
            "GET" => "Get",
            "POST" => "Post",
            "PUT" => "Put",
            "PATCH" => "Patch",
            "DELETE" => "Delete",
            "HEAD" => "Head",
            _ => "Options",
        };
        format!(
            "require \"net/http\"\n\nuri = URI({})\nrequest = Net::HTTP::{class}.new(uri, {headers})\n{body}answer = Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == \"https\") {{ |http| http.request(request) }}\nputs answer.code, answer.body",
            single(self.url)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_document_says_cannot_leave_its_quotes() {
        let body = Content {
            media_type: "application/json".into(),
            rows: Vec::new(),
            example: "{\"a\": \"it's $HOME `x` \\\\\"}".into(),
            is_json: true,
        };

        let made = all("POST", "https://api.example/a'b\"c", Some(&body));

        assert_eq!(made.len(), 8);
        assert!(made[0].text.contains(r#"'https://api.example/a'\''b"c'"#), "{}", made[0].text);
        assert!(made[1].text.contains(r#""https://api.example/a'b\"c""#), "{}", made[1].text);
        assert!(made[6].text.contains(r#"'https://api.example/a\'b"c'"#), "{}", made[6].text);
    }
}
