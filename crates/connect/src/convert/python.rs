//! Python functions, as the client pickled them.

use millstream_formats::condition::SparkError;
use millstream_plan::ir::PythonUdf;
use spark_connect_proto as pb;
use spark_connect_proto::common_inline_user_defined_function::Function;

use super::{Convert, required};

impl Convert<'_> {
    /// A function with its arguments.
    pub(crate) fn python_udf(&self, message: &pb::CommonInlineUserDefinedFunction) -> Result<PythonUdf, SparkError> {
        let pb::CommonInlineUserDefinedFunction { function_name, deterministic, arguments, is_distinct, function } =
            message;
        if *is_distinct {
            return Err(SparkError::unsupported("DISTINCT in a call of a user-defined function"));
        }
        let udf = match required(function.as_ref(), "the code of a user-defined function")? {
            Function::PythonUdf(udf) => udf,
            Function::ScalarScalaUdf(_) => return Err(SparkError::unsupported("A user-defined function in Scala")),
            Function::JavaUdf(_) => return Err(SparkError::unsupported("A user-defined function in Java")),
        };
        // `additional_includes` are directories of the Python environment of a cluster's executors.
        let pb::PythonUdf { output_type, eval_type, command, python_ver, additional_includes: _ } = udf;
        Ok(PythonUdf {
            name: function_name.clone(),
            command: command.to_vec(),
            eval_type: *eval_type,
            python_version: python_ver.clone(),
            output_type: self.required_type(output_type.as_ref())?,
            deterministic: *deterministic,
            arguments: self.exprs(arguments)?,
        })
    }
}

/// The pickled function of a streaming sink and its Python version.
pub(super) fn foreach_function(
    message: &Option<pb::StreamingForeachFunction>,
) -> Result<Option<(Vec<u8>, String)>, SparkError> {
    use pb::streaming_foreach_function::Function;
    let Some(pb::StreamingForeachFunction { function }) = message else { return Ok(None) };
    match required(function.as_ref(), "the code of a streaming sink")? {
        Function::PythonFunction(udf) => {
            let pb::PythonUdf { output_type: _, eval_type: _, command, python_ver, additional_includes: _ } = udf;
            Ok(Some((command.to_vec(), python_ver.clone())))
        }
        Function::ScalaFunction(_) => Err(SparkError::unsupported("A streaming sink in Scala")),
    }
}
