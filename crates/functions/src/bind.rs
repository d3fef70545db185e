//! The usual way from typed arguments to a bound kernel: check the number, coerce, decide on nullability.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;

use crate::arguments::expect_count;
use crate::coerce::{self, Expected};
use crate::kernel::Kernel;
use crate::{FunctionContext, Typed};

/// A body that captures nothing: all it needs stands in its arguments.
pub(crate) type Body = fn(&[ArrayRef], usize) -> Result<ArrayRef, SparkError>;

/// When a result may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nullable {
    /// If an argument may be.
    ByArguments,
    /// If the first argument may be.
    ByFirst,
    /// Whatever the arguments.
    Always,
}

impl Nullable {
    pub(crate) fn of(self, arguments: &[Typed]) -> bool {
        match self {
            Nullable::ByArguments => arguments.iter().any(|a| a.nullable),
            Nullable::ByFirst => arguments.first().is_some_and(|a| a.nullable),
            Nullable::Always => true,
        }
    }
}

/// A call under construction.
pub(crate) struct Call<'a> {
    pub(crate) name: &'a str,
    /// Coerced arguments.
    pub(crate) arguments: Vec<Typed>,
    nullable: Nullable,
    fallible: bool,
}

impl<'a> Call<'a> {
    /// Checks that there are `required` arguments up to one for each parameter, and coerces them.
    pub(crate) fn new(
        name: &'a str,
        arguments: &[Typed],
        context: &FunctionContext,
        parameters: &[Expected],
        required: usize,
    ) -> Result<Self, SparkError> {
        let allowed: Vec<usize> = (required..=parameters.len()).collect();
        expect_count(name, arguments, &allowed)?;
        let arguments = coerce::arguments(name, arguments, parameters, context)?;
        Ok(Self { name, arguments, nullable: Nullable::ByArguments, fallible: false })
    }

    /// Arguments that have been checked already.
    pub(crate) fn checked(name: &'a str, arguments: Vec<Typed>) -> Self {
        Self { name, arguments, nullable: Nullable::ByArguments, fallible: false }
    }

    /// Fills up the arguments that were left out, given the values of all optional ones from the first on.
    pub(crate) fn default_from(mut self, index: usize, defaults: &[Typed]) -> Self {
        let given = self.arguments.len().saturating_sub(index);
        self.arguments.extend(defaults.iter().skip(given).cloned());
        self
    }

    /// Sets when the result may be null, by default if an argument may be.
    pub(crate) fn nullable(mut self, nullable: Nullable) -> Self {
        self.nullable = nullable;
        self
    }

    /// See [`Kernel::fallible`].
    pub(crate) fn fallible(mut self) -> Self {
        self.fallible = true;
        self
    }

    /// The kernel without its body.
    pub(crate) fn kernel(&self, result: DataType) -> Kernel {
        let kernel = Kernel::new(self.name, result, self.nullable.of(&self.arguments));
        if self.fallible { kernel.fallible() } else { kernel }
    }

    /// The expression.
    pub(crate) fn with(self, result: DataType, body: Body) -> Result<Typed, SparkError> {
        Ok(self.kernel(result).arrays(&self.arguments, body))
    }
}
