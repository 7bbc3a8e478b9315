import io.fabric8.kubernetes.api.model.Pod;
import io.fabric8.kubernetes.api.model.PodBuilder;
import io.fabric8.kubernetes.client.KubernetesClient;
import io.fabric8.kubernetes.client.KubernetesClientBuilder;
import io.fabric8.kubernetes.client.utils.Serialization;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.spark.SparkConf;
import org.apache.spark.deploy.k8s.KubernetesConf;
import org.apache.spark.deploy.k8s.KubernetesExecutorConf;
import org.apache.spark.deploy.k8s.SparkPod;
import org.apache.spark.resource.ResourceProfile;
import org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBuilder;

/**
 * Prints the executor pod that this Spark makes of a rendered application (a JSON List), together
 * with the settings and the template it was made from. No cluster is needed.
 */
public final class ExecutorPod {
  public static void main(String[] args) throws Exception {
    Map<String, String> settings = new TreeMap<>();
    String template = null;
    Pod driver = null;
    Map<String, Object> list = Serialization.unmarshal(Files.readString(Path.of(args[0])), Map.class);
    for (Map<String, Object> object : (List<Map<String, Object>>) list.get("items")) {
      if (object.get("kind").equals("Pod")) {
        driver = Serialization.unmarshal(Serialization.asJson(object), Pod.class);
        driver.getMetadata().setUid("uid");
      }
      if (!object.get("kind").equals("ConfigMap")) {
        continue;
      }
      Map<String, String> data = (Map<String, String>) object.get("data");
      if (data.containsKey("podspec-configmap-key")) {
        template = data.get("podspec-configmap-key");
      }
      if (data.containsKey("spark.properties")) {
        Properties properties = new Properties();
        properties.load(new StringReader(data.get("spark.properties")));
        properties.forEach((key, value) -> settings.put((String) key, (String) value));
      }
    }

    Path file = Files.createTempFile("template", ".yml");
    Files.writeString(file, template);
    SparkConf conf = new SparkConf(false);
    settings.forEach(conf::set);
    conf.set("spark.kubernetes.executor.podTemplateFile", file.toString());
    conf.set("spark.kubernetes.executor.podNamePrefix", "job");
    KubernetesExecutorConf executor = KubernetesConf.createExecutorConf(
        conf, "1", conf.get("spark.app.id"), scala.Option.apply(driver), 0);
    org.apache.spark.SecurityManager security = new org.apache.spark.SecurityManager(
        conf, scala.Option.empty(),
        org.apache.spark.internal.config.package$.MODULE$.AUTH_SECRET_FILE());
    ResourceProfile profile =
        org.apache.spark.resource.ResourceProfile$.MODULE$.getOrCreateDefaultProfile(conf);
    try (KubernetesClient client = new KubernetesClientBuilder().build()) {
      SparkPod made = new KubernetesExecutorBuilder()
          .buildFromFeatures(executor, security, client, profile).pod();
      Pod pod = new PodBuilder(made.pod())
          .editSpec().addToContainers(made.container()).endSpec().build();
      Map<String, Object> recording = new LinkedHashMap<>();
      recording.put("settings", settings);
      recording.put("template", Serialization.unmarshal(template, Map.class));
      recording.put("pod", pod);
      System.out.println(Serialization.asJson(recording));
    } finally {
      Files.delete(file);
    }
    System.exit(0);
  }
}
