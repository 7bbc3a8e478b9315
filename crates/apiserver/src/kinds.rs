//! The rules of one kind in one version: built-in ones come from the machinery's tables, custom
//! ones from their definition.

use serde_json::Value;
use windlass_apimachinery::{
    builtin,
    field::FieldError,
    go,
    printers::Printer,
    schema::{self, TypeSchema},
};

use crate::{
    crd,
    registry::{CustomVersion, Resource},
    status::{ApiError, ApiResult},
};

/// A kind as a request means it.
#[derive(Clone, Copy)]
pub(crate) struct Kind<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) version: &'a str,
    custom: Option<&'a CustomVersion>,
}

impl<'a> Kind<'a> {
    pub(crate) fn of(resource: &'a Resource, version: &'a str) -> Self {
        let custom = resource.custom_version(version).map(|custom| &**custom);
        Self {
            resource,
            version,
            custom,
        }
    }

    fn group(&self) -> &'a str {
        &self.resource.group
    }

    fn name(&self) -> &'a str {
        &self.resource.kind
    }

    /// The shape, for patches and field ownership.
    pub(crate) fn types(&self) -> TypeSchema {
        match self.custom {
            Some(custom) => custom.types.clone(),
            None => schema::builtin(self.group(), self.version, self.name())
                .unwrap_or_else(schema::deduced),
        }
    }

    /// How objects print.
    pub(crate) fn printer(&self) -> Printer {
        match self.custom {
            Some(custom) => custom.printer.clone(),
            None => Printer::builtin(self.group(), self.name()),
        }
    }

    /// Brings a decoded object into shape: types checked, unknown fields dropped and reported,
    /// defaults filled in.
    pub(crate) fn admit(&self, object: &mut Value) -> ApiResult<Vec<String>> {
        if let Some(custom) = self.custom {
            if let Some(mismatch) = schema::metadata::type_mismatch(object) {
                return Err(self.cannot_be_handled(&mismatch.to_string()));
            }
            let mut unknown = schema::metadata::normalize(object);
            let dropped = custom.schema.prune(object);
            custom.schema.default(object);
            let dropped = dropped.into_iter();
            unknown.extend(dropped.map(|path| format!("unknown field \"{path}\"")));
            return Ok(unknown);
        }
        let types = self.types();
        if let Some(mismatch) = schema::type_mismatch(&types, object) {
            return Err(self.cannot_be_handled(&mismatch.to_string()));
        }
        let unknown = schema::unknown_fields(&types, object);
        schema::normalize(&types, object);
        self.default(object);
        Ok(unknown)
    }

    /// Fills in defaults.
    pub(crate) fn default(&self, object: &mut Value) {
        match self.custom {
            Some(custom) => custom.schema.default(object),
            None => {
                builtin::default(self.group(), self.version, self.name(), object);
                if self.is_definition() {
                    crd::default(object);
                }
            }
        }
    }

    /// What only the server decides about a new object.
    pub(crate) fn prepare_create(&self, object: &mut Value) {
        if self.custom.is_some() {
            return;
        }
        builtin::prepare_create(self.group(), self.version, self.name(), object);
        if self.is_definition() {
            crd::prepare_create(object);
        }
    }

    /// What an update may leave out.
    pub(crate) fn prepare_update(&self, object: &mut Value, old: &Value) {
        if self.custom.is_some() {
            return;
        }
        builtin::prepare_update(self.group(), self.version, self.name(), object, old);
    }

    /// What is wrong with a new object.
    pub(crate) fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        if let Some(custom) = self.custom {
            let mut errors = builtin::validate_metadata(object, self.resource.namespaced);
            errors.extend(custom.schema.validate(object));
            errors.extend(scale_errors(custom, object));
            return errors;
        }
        let (group, version, kind) = (self.group(), self.version, self.name());
        let mut errors = builtin::validate_create(group, version, kind, object);
        if self.is_definition() {
            errors.extend(crd::validate(object, None));
        }
        errors
    }

    /// What is wrong with a replacement.
    pub(crate) fn validate_update(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        if let Some(custom) = self.custom {
            let namespaced = self.resource.namespaced;
            let mut errors = builtin::validate_metadata_update(object, old, namespaced);
            errors.extend(custom.schema.validate_update(object, old));
            errors.extend(scale_errors(custom, object));
            return errors;
        }
        let (group, version, kind) = (self.group(), self.version, self.name());
        let mut errors = builtin::validate_update(group, version, kind, object, old);
        if self.is_definition() {
            errors.extend(crd::validate(object, Some(old)));
        }
        errors
    }

    /// What is wrong with a replacement by way of the status.
    pub(crate) fn validate_status(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        if self.custom.is_some() {
            return self.validate_update(object, old);
        }
        builtin::validate_status(self.group(), self.name(), object, old)
    }

    /// What the writer of an object should know.
    pub(crate) fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        if self.custom.is_some() {
            return Vec::new();
        }
        builtin::warnings(self.group(), self.name(), object, old)
    }

    /// 400 for a body that is no object of this kind.
    pub(crate) fn cannot_be_handled(&self, why: &str) -> ApiError {
        let (kind, version) = (self.name(), self.version);
        ApiError::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
        ))
    }

    /// 422 if there are errors.
    pub(crate) fn check(&self, name: &str, errors: &[FieldError]) -> ApiResult<()> {
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(self.group(), self.name(), name, errors))
    }

    pub(crate) fn is_definition(&self) -> bool {
        self.group() == crd::GROUP && self.name() == "CustomResourceDefinition"
    }
}

/// What the numbers that a scale is made of have to be like.
fn scale_errors(custom: &CustomVersion, object: &Value) -> Vec<FieldError> {
    let Some(paths) = &custom.scale else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    for path in [&paths.spec_replicas, &paths.status_replicas] {
        let field = format!(".{}", path.join("."));
        let wrong = |value: &Value, expected: &str| {
            let (shown, found) = (go::plain(value), go::type_name(value));
            FieldError::invalid(
                &field,
                &0.into(),
                format!(
                    "{field} accessor error: {shown} is of the type {found}, expected {expected}"
                ),
            )
        };
        let mut found = object;
        let mut complaint = None;
        for step in path {
            if found.is_null() {
                break;
            }
            if !found.is_object() {
                complaint = Some(wrong(found, "map[string]interface{}"));
                break;
            }
            found = &found[step.as_str()];
        }
        let complaint = match (complaint, found.as_i64()) {
            (Some(complaint), _) => complaint,
            (None, _) if found.is_null() => continue,
            (None, Some(0..=0x7fff_ffff)) => continue,
            (None, Some(number)) if number < 0 => {
                FieldError::invalid(&field, found, "should be a non-negative integer")
            }
            (None, Some(_)) => {
                FieldError::invalid(&field, found, "should be less than or equal to 2147483647")
            }
            (None, None) => wrong(found, "int64"),
        };
        errors.push(complaint);
    }
    errors
}
