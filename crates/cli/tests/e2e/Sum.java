package org.example;

import java.util.ArrayList;
import java.util.List;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;

/** Sums up the numbers below its argument on executors, and can end in other ways as well. */
public final class Sum {
  public static void main(String[] args) {
    int count = Integer.parseInt(args[0]);
    String way = args.length > 1 ? args[1] : "well";
    if (way.equals("exits")) {
      System.exit(7);
    }
    JavaSparkContext context = new JavaSparkContext(new SparkConf());
    List<Integer> numbers = new ArrayList<>();
    for (int number = 0; number < count; number++) {
      numbers.add(number);
    }
    int sum = context.parallelize(numbers, 2).reduce(Integer::sum);
    if (way.equals("throws")) {
      throw new IllegalStateException("cannot count " + sum);
    }
    System.out.println("the sum is " + sum + " with Spark " + context.version());
    context.stop();
  }
}
