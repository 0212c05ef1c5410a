// Apache Kafka's command line tools, many of them in one virtual machine: a start costs more than
// most of their work.
//
// Reads steps from a file: `== title`, then the class and its words, then lines of input with a `<`
// in front. Prints for each step its title, what the tool printed, and its exit code. The word SETTLE
// in place of a class waits until what was changed before can be seen. BOOTSTRAP stands for the first
// argument, and NAME for what a further one says with NAME=value.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.utils.Exit;
import org.slf4j.LoggerFactory;

public final class Tools {
    private Tools() {}

    /** The end of a tool, instead of that of the virtual machine. */
    private static final class Ended extends RuntimeException {
        private static final long serialVersionUID = 1L;
    }

    public static void main(String[] args) throws Exception {
        Exit.setExitProcedure(Tools::end);
        Exit.setHaltProcedure(Tools::end);
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        // What is logged goes to this program's own stderr, not to where a tool prints.
        LoggerFactory.getLogger(Tools.class);
        PrintStream out = System.out;
        String title = "";
        String command = "";
        StringBuilder input = new StringBuilder();
        List<String> lines = new ArrayList<>(Files.readAllLines(Path.of(args[1])));
        lines.add("== end");
        for (String line : lines) {
            if (line.startsWith("== ")) {
                if (!command.isEmpty()) {
                    out.println("== " + title);
                    out.print(run(named(command, args), input.toString()));
                    out.flush();
                }
                title = line.substring(3);
                command = "";
                input.setLength(0);
            } else if (line.startsWith("< ")) {
                input.append(line.substring(2)).append('\n');
            } else if (!line.isBlank() && !line.startsWith("#")) {
                command += " " + line.trim();
            }
        }
        Runtime.getRuntime().halt(0);
    }

    private static String named(String command, String[] args) {
        String named = command.replace("BOOTSTRAP", args[0]);
        for (int at = 2; at < args.length; at++) {
            String[] pair = args[at].split("=", 2);
            named = named.replace(pair[0], pair[1]);
        }
        return named;
    }

    /**
     * Apache Kafka answers a change before its broker has taken it up. Rights are what it takes up
     * last: once a new one is shown, so is everything older.
     */
    private static void settle(String bootstrap) throws Exception {
        String name = "settled-" + UUID.randomUUID();
        ResourcePattern on =
            new ResourcePattern(ResourceType.TRANSACTIONAL_ID, name, PatternType.LITERAL);
        AccessControlEntry what = new AccessControlEntry(
            "User:" + name, "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW);
        AclBinding marker = new AclBinding(on, what);
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createAcls(List.of(marker)).all().get();
            awaitRights(admin, marker, 1, deadline);
            admin.deleteAcls(List.of(marker.toFilter())).all().get();
            awaitRights(admin, marker, 0, deadline);
        }
    }

    private static void awaitRights(Admin admin, AclBinding marker, int count, long deadline)
            throws Exception {
        while (admin.describeAcls(marker.toFilter()).values().get().size() != count) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("a change is not seen within a minute");
            }
            TimeUnit.MILLISECONDS.sleep(5);
        }
    }

    /** What the tool in hand wants to have done at its end, as sending what it has not sent yet. */
    private static final List<Runnable> hooks = new ArrayList<>();

    /** What the tool in hand came to; some tools catch and print whatever ends them. */
    private static Integer ended;

    private static void end(int code, String message) {
        if (ended == null) {
            if (message != null) {
                System.err.println(message);
            }
            System.err.flush();
            System.out.flush();
            ended = code;
            PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());
            System.setOut(nowhere);
            System.setErr(nowhere);
        }
        throw new Ended();
    }

    private static String run(String command, String input) throws Exception {
        String[] words = command.trim().split("\\s+");
        if (words[0].equals("SETTLE")) {
            settle(words[1]);
            return "";
        }
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        PrintStream stream = new PrintStream(said, true, StandardCharsets.UTF_8);
        PrintStream out = System.out;
        PrintStream err = System.err;
        System.setOut(stream);
        System.setErr(stream);
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        ended = null;
        try {
            String[] rest = Arrays.copyOfRange(words, 1, words.length);
            Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) rest);
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof Ended)) {
                stream.println("failed: " + e.getCause());
                ended = -1;
            }
        } finally {
            hooks.forEach(Runnable::run);
            hooks.clear();
            System.setOut(out);
            System.setErr(err);
        }
        stream.flush();
        return said.toString(StandardCharsets.UTF_8) + "exit " + (ended == null ? 0 : ended) + "\n";
    }
}
