//! Functions of the program that may fail: their error is that of the batch, unharmed.

use std::error::Error;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::rdd::{Data, Plan, Rdd, Sink};
use super::stream::{DStream, Derived};
use crate::StreamError;

impl<T: Data> DStream<T> {
    /// A function of each element that may fail. An error fails the outputs of its batch as [`StreamError::User`]; later batches go on. (A
    /// panic of any function does so as [`StreamError::Panic`].)
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream_dstream::typed::StreamingContext;
    /// # fn main() -> Result<(), millstream_dstream::StreamError> {
    /// let ssc = StreamingContext::new(Duration::from_millis(50))?;
    /// let texts = ssc.queue_stream([vec!["1", "two"]])?;
    /// texts.try_map(|text| text.parse::<i64>())?.for_each_rdd(|_time, rdd| rdd.collect().map(|_| ()))?;
    /// ssc.start()?;
    /// let error = ssc.await_termination(None).unwrap_err();
    /// assert_eq!(error.to_string(), "invalid digit found in string");
    /// # ssc.stop(false)
    /// # }
    /// ```
    ///
    /// # Errors
    /// The context was started or stopped.
    pub fn try_map<U: Data, E: Error + Send + Sync + 'static>(
        &self,
        function: impl Fn(T) -> Result<U, E> + Send + Sync + 'static,
    ) -> Derived<U> {
        let function = Arc::new(function);
        self.derive("try_map", None, move |_, rdd| {
            let function = Arc::clone(&function);
            Ok(rdd.try_map(move |element| function(element)))
        })
    }
}

impl<T: Data> Rdd<T> {
    /// A function of each element that may fail: whoever computes the elements gets the error.
    pub fn try_map<U: Data, E: Error + Send + Sync + 'static>(
        &self,
        function: impl Fn(T) -> Result<U, E> + Send + Sync + 'static,
    ) -> Rdd<U> {
        let function = move |element| function(element).map_err(StreamError::user);
        Rdd::new(TryMap { parent: self.clone(), function, marker: PhantomData })
    }
}

struct TryMap<T, U, F> {
    parent: Rdd<T>,
    function: F,
    marker: PhantomData<fn() -> U>,
}

impl<T: Data, U: Data, F: Fn(T) -> Result<U, StreamError> + Send + Sync> Plan<U> for TryMap<T, U, F> {
    fn partitions(&self) -> usize {
        self.parent.partitions()
    }

    fn prepare(&self) -> Result<(), StreamError> {
        self.parent.prepare()
    }

    fn run(&self, partition: usize, sink: &mut Sink<'_, U>) -> Result<ControlFlow<()>, StreamError> {
        let mut failure = None;
        let flow = self.parent.run(partition, &mut |element| match (self.function)(element) {
            Ok(value) => sink(value),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failure.map_or(Ok(flow), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_that_of_whoever_computes_the_elements() {
        let rdd = Rdd::from_partitions(vec![vec!["1", "2"], vec!["3", "x", "4"]]).try_map(str::parse::<i32>);
        assert_eq!(rdd.take(2).unwrap(), [1, 2], "the second partition is not needed");
        let error = rdd.collect().unwrap_err();
        assert!(matches!(&error, StreamError::User(cause) if cause.is::<std::num::ParseIntError>()), "{error}");
    }
}
