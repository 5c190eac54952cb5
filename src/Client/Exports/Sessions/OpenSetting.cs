// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Text.Json;
using Mooncake.Mesh.Exports.Guest;

namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>One option as text: its name, from it the environment variable, and what it sets.</summary>
/// <param name="Name">Its name, "etcd_endpoints"; the variable is MOONCAKE_MESH_ETCD_ENDPOINTS.</param>
/// <param name="Apply">Sets it; a FormatException says what is legal.</param>
/// <param name="Environment">Whether the variable counts where the option is not given.</param>
internal sealed record OpenSetting(string Name, Func<OpenOptions, string, OpenOptions> Apply, bool Environment = false)
{
    /// <summary>Every option.</summary>
    public static IReadOnlyList<OpenSetting> All { get; } =
    [
        new("cluster", (o, v) => o with { Cluster = v }, Environment: true),
        new("nodes", (o, v) => o with { Nodes = Names(v) }),
        new("etcd_endpoints", (o, v) => o with { EtcdEndpoints = v }),
        new("etcd_user", (o, v) => o with { EtcdUser = v }, Environment: true),
        new("etcd_password_file", (o, v) => o with { EtcdPasswordFile = v }, Environment: true),
        new("etcd_ca", (o, v) => o with { EtcdCa = v }, Environment: true),
        new("etcd_cert", (o, v) => o with { EtcdCert = v }, Environment: true),
        new("etcd_key", (o, v) => o with { EtcdKey = v }, Environment: true),
        new("registry", (o, v) => o with { Registry = v }),
        new("secret_file", (o, v) => o with { SecretFile = v }, Environment: true),
        new("insecure", (o, v) => o with { Insecure = Truth(v) }, Environment: true),
        new("transport", (o, v) => o with { Transport = TransportOf(v) }),
        new("rdma_devices", (o, v) => o with { RdmaDevices = Names(v) }, Environment: true),
        new("rails", (o, v) => o with { Rails = Names(v) }, Environment: true),
        new("same_host", (o, v) => o with { SameHost = Truth(v) }),
        new("segment_size", (o, v) => o with { SegmentSize = Size(v) }),
        new("node_id", (o, v) => o with { NodeId = v }),
        new("hostname", (o, v) => o with { Hostname = v }),
        new("listen", (o, v) => o with { Listen = v }),
        new("lease_ttl_ms", (o, v) => o with { LeaseTtl = Time(v) }),
        new("connect_timeout_ms", (o, v) => o with { ConnectLimit = Time(v) }),
        new("timeout_ms", (o, v) => o with { Deadline = Time(v) }, Environment: true),
        new("get_timeout_ms", (o, v) => o with { GetLimit = Time(v) }, Environment: true),
        new("put_timeout_ms", (o, v) => o with { PutLimit = Time(v) }, Environment: true),
        new("verify", (o, v) => o with { Verify = Truth(v) }),
        new("slice_ms", (o, v) => o with { SliceMilliseconds = (int)Time(v, least: 0).TotalMilliseconds }),
    ];

    /// <summary>Those that the environment may give.</summary>
    public static IEnumerable<OpenSetting> FromEnvironment => All.Where(setting => setting.Environment);

    /// <summary>The variable.</summary>
    public string Variable => "MOONCAKE_MESH_" + Name.ToUpperInvariant();

    /// <summary>The options with this one set.</summary>
    /// <exception cref="RefusedException">The text says nothing.</exception>
    public OpenOptions Applied(OpenOptions options, string text)
    {
        try
        {
            return Apply(options, text);
        }
        catch (FormatException wrong)
        {
            throw new RefusedException(ErrorCodes.InvalidParams, $"{Name} is '{text}'; {wrong.Message}");
        }
    }

    /// <summary>Reads "nodes=a:1,b:1; slice_ms=100" (entries end with ';' or a line), or an object of JSON.</summary>
    /// <exception cref="RefusedException">An option is unknown or wrong, by name.</exception>
    public static OpenOptions Parse(string text, OpenOptions start)
    {
        var options = start;
        foreach ((string name, string value) in text.TrimStart().StartsWith('{') ? OfJson(text) : OfLines(text))
        {
            var setting = All.FirstOrDefault(s => s.Name == name)
                ?? throw Wrong($"there is no option '{name}'");
            options = setting.Applied(options, value);
        }

        return options;
    }

    /// <summary>What a word says of the transport.</summary>
    /// <exception cref="FormatException">It says nothing.</exception>
    public static TransportChoice TransportOf(string word) => word.Trim().ToLowerInvariant() switch
    {
        "" or "auto" => TransportChoice.Auto,
        "tcp" => TransportChoice.Tcp,
        "shm" => TransportChoice.Shm,
        "rdma" => TransportChoice.Rdma,
        _ => throw new FormatException("auto, tcp, shm and rdma are legal"),
    };

    /// <summary>What is between the separators.</summary>
    public static string[] Names(string text) =>
        text.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static IEnumerable<(string Name, string Value)> OfLines(string text)
    {
        foreach (string entry in text.Split([';', '\n'], StringSplitOptions.RemoveEmptyEntries))
        {
            if (entry.Trim().Length == 0)
                continue;
            if (entry.Split('=', 2, StringSplitOptions.TrimEntries) is not [{ Length: > 0 } name, var value])
                throw Wrong($"'{entry.Trim()}' is no option; write name=value");
            yield return (name, value);
        }
    }

    private static List<(string Name, string Value)> OfJson(string text)
    {
        var options = new List<(string, string)>();
        try
        {
            using var json = JsonDocument.Parse(text);
            foreach (var option in json.RootElement.EnumerateObject())
            {
                if (option.Value.ValueKind != JsonValueKind.Null)
                    options.Add((option.Name, TextOf(option.Value)));
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw Wrong($"the options are no object of JSON: {e.Message}");
        }

        return options;
    }

    private static string TextOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Array => string.Join(',', value.EnumerateArray().Select(TextOf)),
        _ => value.GetRawText(),
    };

    private static bool Truth(string text) => text.ToLowerInvariant() switch
    {
        "true" or "1" or "yes" => true,
        "false" or "0" or "no" => false,
        _ => throw new FormatException("true and false are legal"),
    };

    private static TimeSpan Time(string text, long least = 1) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long milliseconds)
            && milliseconds >= least && milliseconds <= 86_400_000
            ? TimeSpan.FromMilliseconds(milliseconds)
            : throw new FormatException($"{least} to 86400000 milliseconds are legal");

    /// <summary>Bytes, or with K, M, G or T in powers of 1024; "iB" and "B" after it change nothing.</summary>
    private static long Size(string text)
    {
        string digits = text.Trim();
        if (digits.EndsWith('B') || digits.EndsWith('b'))
            digits = digits[..^1].TrimEnd('i');
        int power = digits.Length == 0 ? 0 : "KMGT".IndexOf(char.ToUpperInvariant(digits[^1])) + 1;
        if (power > 0)
            digits = digits[..^1];
        return long.TryParse(digits.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long size)
            && size <= long.MaxValue >> (10 * power)
            ? size << (10 * power)
            : throw new FormatException("write 16MiB, 1GiB or plain bytes");
    }

    private static RefusedException Wrong(string message) => new(ErrorCodes.InvalidParams, message);
}
