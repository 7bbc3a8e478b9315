//! Makes sequences: a model of what should be there decides what makes sense next, and about a
//! fifth of the requests is wrong on purpose.

mod flaws;
mod objects;
mod options;
mod patches;

use serde_json::{Value, json};

use crate::{
    kind::Kind,
    random::Random,
    sequence::{
        APPLY_PATCH, Body, JSON, JSON_PATCH, MERGE_PATCH, Request, STRATEGIC_PATCH, Sequence,
    },
};

/// How many requests a sequence has.
const LENGTH: (usize, usize) = (14, 30);
/// The names of objects: few, so that requests meet.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// How many of a hundred bodies are wrong.
const FLAWED: usize = 16;

/// Something that should be there.
#[derive(Debug, Clone)]
struct Live {
    kind: Kind,
    name: String,
    /// The request whose answer made it.
    made: usize,
    /// The last request whose answer shows it whole.
    last: usize,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Create,
    Get,
    List,
    Page,
    Watch,
    Update,
    Patch,
    Apply,
    Status,
    Scale,
    Delete,
    DeleteCollection,
    Odd,
}

struct Generator {
    random: Random,
    kinds: Vec<Kind>,
    live: Vec<Live>,
    requests: Vec<Request>,
    /// Whether something was scaled to zero.
    emptied: bool,
}

/// The sequence of a seed, about one to three of these kinds.
pub fn generate(seed: u64, kinds: &[Kind]) -> Sequence {
    let mut random = Random::new(seed);
    let chosen = (0..=random.below(2)).map(|_| *random.pick(kinds)).collect();
    let length = LENGTH.0 + random.below(LENGTH.1 - LENGTH.0);
    let mut generator = Generator {
        random,
        kinds: chosen,
        live: Vec::new(),
        requests: Vec::new(),
        emptied: false,
    };
    while generator.requests.len() < length {
        generator.step();
    }
    Sequence {
        seed,
        requests: generator.requests,
    }
}

impl Generator {
    fn step(&mut self) {
        let action = if self.live.is_empty() {
            self.random.weighted(&[
                (10, Action::Create),
                (3, Action::Apply),
                (1, Action::Get),
                (1, Action::List),
                (1, Action::Watch),
            ])
        } else {
            self.random.weighted(&[
                (14, Action::Create),
                (6, Action::Get),
                (8, Action::List),
                (3, Action::Page),
                (5, Action::Watch),
                (14, Action::Update),
                (16, Action::Patch),
                (11, Action::Apply),
                (7, Action::Status),
                (5, Action::Scale),
                (9, Action::Delete),
                (2, Action::DeleteCollection),
                (3, Action::Odd),
            ])
        };
        match action {
            Action::Create => self.create(),
            Action::Get => self.get(),
            Action::List => self.list(),
            Action::Page => self.page(),
            Action::Watch => self.watch(),
            Action::Update => self.update(),
            Action::Patch => self.patch(),
            Action::Apply => self.apply(),
            Action::Status => self.status(),
            Action::Scale => self.scale(),
            Action::Delete => self.delete(),
            Action::DeleteCollection => self.delete_collection(),
            Action::Odd => self.odd(),
        }
    }

    fn kind(&mut self) -> Kind {
        *self.random.pick(&self.kinds)
    }

    /// An object to do something with; sometimes one that is not there.
    fn target(&mut self) -> Live {
        if self.live.is_empty() || self.random.percent(6) {
            let kind = self.kind();
            let name = (*self.random.pick(&NAMES)).to_owned();
            return Live {
                kind,
                name,
                made: usize::MAX,
                last: usize::MAX,
            };
        }
        self.random.pick(&self.live).clone()
    }

    fn push(
        &mut self,
        kind: Kind,
        method: &'static str,
        path: String,
        query: Vec<(String, String)>,
        body: Body,
    ) -> usize {
        let id = self.requests.len();
        self.requests.push(Request {
            id,
            kind,
            method,
            path,
            query,
            accept: JSON,
            body,
            watch: None,
        });
        id
    }

    fn saw(&mut self, kind: Kind, name: &str, id: usize) {
        if let Some(live) = self
            .live
            .iter_mut()
            .find(|live| live.kind == kind && live.name == name)
        {
            live.last = id;
        } else {
            self.live.push(Live {
                kind,
                name: name.to_owned(),
                made: id,
                last: id,
            });
        }
    }

    fn create(&mut self) {
        let kind = self.kind();
        let name = *self.random.pick(&NAMES);
        let mut object = objects::object(kind, name, &mut self.random);
        let flawed = self.random.percent(FLAWED);
        if flawed {
            flaws::spoil(kind, &mut object, &mut self.random);
        }
        self.decorate(&mut object);
        let generated = !flawed && self.random.percent(7);
        if generated {
            object["metadata"] = json!({"generateName": format!("gen-{}-", self.requests.len()), "labels": object["metadata"]["labels"]});
        }
        let query = options::write(&mut self.random);
        let stored = !options::is_dry(&query) && !flawed;
        let id = self.push(kind, "POST", kind.path(), query, Body::Json(JSON, object));
        if generated && stored {
            self.live.push(Live {
                kind,
                name: format!("{{{{name:{id}}}}}"),
                made: id,
                last: id,
            });
        } else if stored
            && !self
                .live
                .iter()
                .any(|live| live.kind == kind && live.name == name)
        {
            self.saw(kind, name, id);
        }
    }

    /// Finalizers and owners.
    fn decorate(&mut self, object: &mut Value) {
        if !object["metadata"].is_object() {
            return;
        }
        if self.random.percent(10) {
            object["metadata"]["finalizers"] = json!(["conformance.windlass.dev/wait"]);
        }
        if self.random.percent(8)
            && let Some(owner) = self.live.first()
            && owner.made != usize::MAX
        {
            let mut reference = json!({
                "apiVersion": owner.kind.api_version(),
                "kind": owner.kind.name(),
                "name": owner.name,
                "uid": format!("{{{{uid:{}}}}}", owner.made),
            });
            match self.random.below(8) {
                0 => reference["controller"] = json!(true),
                1 => reference["blockOwnerDeletion"] = json!(true),
                2 => reference["uid"] = json!(""),
                3 => reference["kind"] = json!(""),
                _ => {}
            }
            let mut references = vec![reference.clone()];
            if self.random.percent(15) {
                references.push(reference);
            }
            object["metadata"]["ownerReferences"] = json!(references);
        }
    }

    fn get(&mut self) {
        let target = self.target();
        let query = options::get(&mut self.random);
        let path = format!("{}/{}", target.kind.path(), target.name);
        let id = self.push(target.kind, "GET", path, query, Body::None);
        self.requests[id].accept = options::accept(&mut self.random, false);
        if self.requests[id].accept == JSON && target.made != usize::MAX {
            self.saw(target.kind, &target.name, id);
        }
    }

    fn list(&mut self) {
        let kind = self.kind();
        let earlier = self.some_revision(kind);
        let query = options::list(kind, earlier, &mut self.random);
        let id = self.push(kind, "GET", kind.path(), query, Body::None);
        self.requests[id].accept = options::accept(&mut self.random, true);
    }

    /// A list in pages: the first, and what follows it.
    fn page(&mut self) {
        let kind = self.kind();
        let limit = ("limit".to_owned(), (1 + self.random.below(2)).to_string());
        let mut query = vec![limit.clone()];
        if self.random.percent(30) {
            query.push((
                "labelSelector".to_owned(),
                options::label_selector(&mut self.random),
            ));
        }
        let mut id = self.push(kind, "GET", kind.path(), query.clone(), Body::None);
        for _ in 0..=self.random.below(2) {
            if self.random.percent(25) {
                self.create();
            }
            let mut next = query.clone();
            next.push(("continue".to_owned(), format!("{{{{continue:{id}}}}}")));
            if self.random.percent(5) {
                next.push(("resourceVersion".to_owned(), "1".to_owned()));
            }
            id = self.push(kind, "GET", kind.path(), next, Body::None);
        }
    }

    fn some_revision(&mut self, kind: Kind) -> Option<usize> {
        let seen: Vec<usize> = self
            .live
            .iter()
            .filter(|live| live.kind == kind && live.made != usize::MAX)
            .flat_map(|live| [live.made, live.last])
            .collect();
        (!seen.is_empty()).then(|| *self.random.pick(&seen))
    }

    fn watch(&mut self) {
        let kind = self.kind();
        let earlier = self.some_revision(kind);
        let name = self.target().name;
        let (query, watch) = options::watch(&name, earlier, &mut self.random);
        let id = self.push(kind, "GET", kind.path(), query, Body::None);
        self.requests[id].watch = Some(watch);
        if self.random.percent(10) {
            self.requests[id].accept = options::METADATA;
        }
    }

    fn update(&mut self) {
        let target = self.target();
        let path = format!("{}/{}", target.kind.path(), target.name);
        let mut change = objects::change(target.kind, &mut self.random);
        if self.random.percent(FLAWED) {
            change = flaws::change(target.kind, &mut self.random);
        }
        let body = if target.made == usize::MAX || self.random.percent(35) {
            let mut object = objects::object(target.kind, &target.name, &mut self.random);
            match self.random.below(6) {
                0 if target.made != usize::MAX => {
                    object["metadata"]["resourceVersion"] =
                        json!(format!("{{{{rv:{}}}}}", target.made));
                }
                1 if target.made != usize::MAX => {
                    object["metadata"]["uid"] = json!(format!("{{{{uid:{}}}}}", target.made));
                }
                2 => flaws::spoil(target.kind, &mut object, &mut self.random),
                _ => {}
            }
            Body::Json(JSON, object)
        } else {
            // Mostly the newest state; an older one is a conflict.
            let of = if self.random.percent(85) {
                target.last
            } else {
                target.made
            };
            Body::Edit { of, change }
        };
        let query = options::write(&mut self.random);
        let stored = !options::is_dry(&query);
        let id = self.push(target.kind, "PUT", path, query, body);
        if stored && target.made != usize::MAX && self.random.percent(85) {
            self.saw(target.kind, &target.name, id);
        }
    }

    fn patch(&mut self) {
        let target = self.target();
        let path = format!("{}/{}", target.kind.path(), target.name);
        let mut format =
            self.random
                .weighted(&[(3, JSON_PATCH), (4, MERGE_PATCH), (5, STRATEGIC_PATCH)]);
        if format == STRATEGIC_PATCH && target.kind.is_custom() && !self.random.percent(5) {
            format = MERGE_PATCH;
        }
        let revision = (target.made != usize::MAX).then_some(target.made);
        let body = patches::patch(format, target.kind, revision, &mut self.random);
        let query = options::write(&mut self.random);
        self.push(target.kind, "PATCH", path, query, Body::Json(format, body));
    }

    fn apply(&mut self) {
        let target = self.target();
        let (kind, name) = (target.kind, target.name.clone());
        let name = if name.contains("{{") {
            NAMES[0].to_owned()
        } else {
            name
        };
        let mut object = objects::applied(kind, &name, &mut self.random);
        if self.random.percent(FLAWED) {
            flaws::spoil(kind, &mut object, &mut self.random);
        }
        let query = options::apply(&mut self.random);
        let stored = !options::is_dry(&query);
        let path = format!("{}/{name}", kind.path());
        let id = self.push(kind, "PATCH", path, query, Body::Json(APPLY_PATCH, object));
        if stored
            && target.made == usize::MAX
            && !self
                .live
                .iter()
                .any(|live| live.kind == kind && live.name == name)
        {
            self.saw(kind, &name, id);
        }
    }

    fn status(&mut self) {
        let target = self.target();
        let path = format!("{}/{}/status", target.kind.path(), target.name);
        let mut status = objects::status(target.kind, &mut self.random);
        if self.random.percent(FLAWED) {
            status = flaws::status(target.kind, &mut self.random);
        }
        let query = options::write(&mut self.random);
        if self.random.percent(10) {
            self.push(target.kind, "GET", path, Vec::new(), Body::None);
        } else if target.made != usize::MAX && self.random.percent(40) {
            let change = json!({"status": status, "spec": objects::change(target.kind, &mut self.random)["spec"]});
            let body = Body::Edit {
                of: target.last,
                change,
            };
            self.push(target.kind, "PUT", path, query, body);
        } else {
            let format = self.random.weighted(&[
                (5, MERGE_PATCH),
                (4, STRATEGIC_PATCH),
                (3, APPLY_PATCH),
                (2, JSON_PATCH),
            ]);
            let format = if format == STRATEGIC_PATCH && target.kind.is_custom() {
                MERGE_PATCH
            } else {
                format
            };
            let mut query = query;
            let body = match format {
                JSON_PATCH => json!([{"op": "add", "path": "/status", "value": status}]),
                APPLY_PATCH => {
                    query = options::apply(&mut self.random);
                    json!({"apiVersion": target.kind.api_version(), "kind": target.kind.name(), "metadata": {"name": target.name}, "status": status})
                }
                _ => json!({"status": status}),
            };
            self.push(target.kind, "PATCH", path, query, Body::Json(format, body));
        }
    }

    fn scale(&mut self) {
        let target = self.target();
        if !target.kind.scales() && !self.random.percent(10) {
            return;
        }
        let path = format!("{}/{}/scale", target.kind.path(), target.name);
        // Never what is there already.
        let other = 20 + self.requests.len() as i64;
        let mut replicas = self.random.weighted(&[(3, 0), (7, other), (1, -1)]);
        if replicas == 0 && std::mem::replace(&mut self.emptied, true) {
            replicas = other;
        }
        let query = options::write(&mut self.random);
        match self.random.below(5) {
            0 => {
                self.push(target.kind, "GET", path, Vec::new(), Body::None);
            }
            1 | 2 => {
                let mut scale = json!({
                    "apiVersion": "autoscaling/v1",
                    "kind": "Scale",
                    "metadata": {"name": target.name, "namespace": "{{ns}}"},
                    "spec": {"replicas": replicas},
                });
                match self.random.below(8) {
                    0 if target.made != usize::MAX => {
                        scale["metadata"]["resourceVersion"] =
                            json!(format!("{{{{rv:{}}}}}", target.made));
                    }
                    1 => scale["metadata"]["name"] = json!("other"),
                    2 => scale["spec"]["replicas"] = json!("three"),
                    _ => {}
                }
                self.push(target.kind, "PUT", path, query, Body::Json(JSON, scale));
            }
            3 => {
                let body = json!([{"op": "replace", "path": "/spec/replicas", "value": replicas}]);
                self.push(
                    target.kind,
                    "PATCH",
                    path,
                    query,
                    Body::Json(JSON_PATCH, body),
                );
            }
            _ => {
                let body = json!({"spec": {"replicas": replicas}});
                self.push(
                    target.kind,
                    "PATCH",
                    path,
                    query,
                    Body::Json(MERGE_PATCH, body),
                );
            }
        }
    }

    fn delete(&mut self) {
        let target = self.target();
        let path = format!("{}/{}", target.kind.path(), target.name);
        let known = (target.made != usize::MAX).then_some((target.made, target.last));
        let (query, body) = options::delete(known, &mut self.random);
        let dry = options::is_dry(&query) || body.to_string().contains("dryRun");
        let body = if body.is_null() {
            Body::None
        } else {
            Body::Json(JSON, body)
        };
        self.push(target.kind, "DELETE", path, query, body);
        if !dry && self.random.percent(80) {
            self.live
                .retain(|live| live.kind != target.kind || live.name != target.name);
        }
    }

    fn delete_collection(&mut self) {
        let kind = self.kind();
        let mut query = Vec::new();
        if self.random.percent(60) {
            query.push((
                "labelSelector".to_owned(),
                options::label_selector(&mut self.random),
            ));
        }
        if self.random.percent(20) {
            query.push(("dryRun".to_owned(), "All".to_owned()));
        }
        if self.random.percent(15) {
            query.push(("propagationPolicy".to_owned(), "Foreground".to_owned()));
        }
        self.push(kind, "DELETE", kind.path(), query, Body::None);
    }

    /// What nobody should send, but somebody does.
    fn odd(&mut self) {
        let target = self.target();
        let kind = target.kind;
        let one = format!("{}/{}", kind.path(), target.name);
        match self.random.below(7) {
            0 => self.push(kind, "POST", one, Vec::new(), Body::Json(JSON, json!({}))),
            1 => self.push(
                kind,
                "PUT",
                kind.path(),
                Vec::new(),
                Body::Json(JSON, json!({})),
            ),
            2 => self.push(
                kind,
                "GET",
                format!("{one}/nothing"),
                Vec::new(),
                Body::None,
            ),
            3 => self.push(
                kind,
                "PATCH",
                one,
                Vec::new(),
                Body::Json(JSON, json!({"metadata": {}})),
            ),
            4 => self.push(
                kind,
                "POST",
                kind.path(),
                Vec::new(),
                Body::Json(JSON, json!([1])),
            ),
            5 => self.push(kind, "PUT", one, Vec::new(), Body::None),
            _ => self.push(
                kind,
                "POST",
                kind.path(),
                Vec::new(),
                Body::Json(
                    JSON,
                    json!({"kind": kind.name(), "apiVersion": kind.api_version()}),
                ),
            ),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_sequence() {
        let first = generate(42, &Kind::ALL);
        assert_eq!(first, generate(42, &Kind::ALL));
        assert_ne!(first.requests, generate(43, &Kind::ALL).requests);
        assert!(first.requests.len() >= LENGTH.0);
    }

    #[test]
    fn numbers_of_requests_are_their_places() {
        for seed in 0..50 {
            let sequence = generate(seed, &Kind::ALL);
            for (index, request) in sequence.requests.iter().enumerate() {
                assert_eq!(request.id, index);
            }
        }
    }

    #[test]
    fn every_verb_and_every_format_is_used() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            for request in generate(seed, &Kind::ALL).requests {
                let format = match &request.body {
                    Body::Json(format, _) => *format,
                    Body::Edit { .. } => "edit",
                    Body::None => "",
                };
                seen.insert(format!(
                    "{} {} {format}",
                    request.method,
                    request.subresource()
                ));
                if request.watch.is_some() {
                    seen.insert("watch".to_owned());
                }
            }
        }
        for expected in [
            "watch",
            "GET  ",
            "POST  application/json",
            "PUT  edit",
            "PUT status edit",
            "PUT scale application/json",
            "PATCH  application/json-patch+json",
            "PATCH  application/merge-patch+json",
            "PATCH  application/strategic-merge-patch+json",
            "PATCH  application/apply-patch+yaml",
            "PATCH status application/apply-patch+yaml",
            "DELETE  ",
            "DELETE  application/json",
        ] {
            assert!(seen.contains(expected), "{expected} is not in {seen:?}");
        }
    }
}
