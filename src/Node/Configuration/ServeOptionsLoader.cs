// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using System.Text.RegularExpressions;

namespace Mooncake.Mesh.Node.Configuration;

/// <summary>Puts the file, then the environment, then the flags over the defaults.</summary>
internal static partial class ServeOptionsLoader
{
    /// <summary>The variable of tests with nodes of two versions.</summary>
    internal const string WireVersions = ServeSetting.Prefix + "TEST_WIRE_VERSIONS";

    /// <summary>Settings and every error on the way, each in one line.</summary>
    /// <param name="file">Path of the configuration file, or null.</param>
    /// <param name="environment">A variable's value, or null.</param>
    /// <param name="flags">A flag's value, or null.</param>
    internal static (ServeOptions Options, IReadOnlyList<MeshError> Errors) Load(
        string? file, Func<string, string?> environment, Func<ServeSetting, string?> flags)
    {
        var errors = new List<MeshError>();
        var options = new ServeOptions();
        if (file is not null)
        {
            MeshResult<ServeOptions> read = ReadFile(file);
            if (read.Error is { } error)
                errors.Add(error);
            else
                options = read.Value;
        }

        foreach (ServeSetting setting in ServeSetting.All)
        {
            if (environment(setting.Variable) is { } variable)
                options = Apply(options, setting, setting.Variable, variable, errors);
            if (flags(setting) is { } flag)
                options = Apply(options, setting, setting.Flag, flag, errors);
        }

        MeshResult<ClusterSecret?> secret = SecretFile.Read(options.SecretFile, environment);
        if (secret.Error is { } unreadable)
            errors.Add(unreadable);
        else
            options.Secret = secret.Value;
        if (environment(WireVersions) is { } versions)
        {
            if (WireVersionsOf(versions) is { } range)
                options.WireVersions = range;
            else
                errors.Add(Wrong($"{WireVersions}: '{versions}' is no range of versions; write 1-2"));
        }

        return (options, errors);
    }

    /// <summary><see cref="Load"/>, and where that finds nothing wrong what the validator does.</summary>
    internal static (ServeOptions Options, IReadOnlyList<MeshError> Errors) LoadValid(
        string? file, Func<string, string?> environment, Func<ServeSetting, string?> flags)
    {
        (ServeOptions options, IReadOnlyList<MeshError> errors) = Load(file, environment, flags);
        return errors.Count > 0
            ? (options, errors)
            : (options, ServeOptionsValidator.Validate(options, ServeOptionsValidator.HostMemory()));
    }

    private static (int Least, int Greatest)? WireVersionsOf(string text) =>
        text.Split('-') is [var least, var greatest] && int.TryParse(least, out int from)
        && int.TryParse(greatest, out int to) && from >= 1 && to >= from
            ? (from, to)
            : null;

    /// <summary>Variables that look like settings and are none.</summary>
    internal static IEnumerable<string> UnknownVariables(IEnumerable<string> names)
    {
        HashSet<string> known = [.. ServeSetting.All.Select(setting => setting.Variable)];
        return names.Where(name => name.StartsWith(ServeSetting.Prefix, StringComparison.Ordinal)
            && !name.StartsWith(ServeSetting.Prefix + "TEST_", StringComparison.Ordinal)
            && !known.Contains(name)).Order(StringComparer.Ordinal);
    }

    internal static MeshResult<ServeOptions> ReadFile(string file)
    {
        try
        {
            return Parse(File.ReadAllBytes(file), file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Wrong($"{file}: {e.Message}");
        }
    }

    internal static MeshResult<ServeOptions> Parse(ReadOnlySpan<byte> json, string file)
    {
        try
        {
            if (json.StartsWith("\uFEFF"u8))
                json = json[3..];
            return JsonSerializer.Deserialize(json, ServeOptionsJson.Default.ServeOptions)
                ?? (MeshResult<ServeOptions>)Wrong($"{file}: the file holds null and no settings");
        }
        catch (JsonException e)
        {
            return Wrong($"{file}{(e.LineNumber is { } line ? $" line {line + 1}" : "")}: {Explain(e)}");
        }
    }

    private static string Explain(JsonException e)
    {
        string field = e.Path is { Length: > 2 } path ? path[2..] : "";
        Match unknown = UnknownMember().Match(e.Message);
        if (unknown.Success)
        {
            string name = unknown.Groups[1].Value;
            int dot = field.LastIndexOf('.');
            return $"unknown field '{(dot < 0 ? "" : field[..(dot + 1)])}{name}'";
        }

        string message = Position().Replace(e.Message, "").TrimEnd(' ', '.');
        if (message.StartsWith("The JSON value could not be converted", StringComparison.Ordinal))
            message = "the value is of another type than the setting";
        return field.Length > 0 ? $"field '{field}': {message}" : message;
    }

    private static ServeOptions Apply(
        ServeOptions options, ServeSetting setting, string source, string value, List<MeshError> errors)
    {
        try
        {
            return setting.Apply(options, value);
        }
        catch (FormatException e)
        {
            errors.Add(Wrong($"{source}: {e.Message}"));
            return options;
        }
    }

    private static MeshError Wrong(string message) => new(MeshErrorCode.InvalidArgument, "config", message);

    [GeneratedRegex("The JSON property '([^']*)' could not be mapped")]
    private static partial Regex UnknownMember();

    [GeneratedRegex(@"\s*(Path: \S* \| )?LineNumber: \d+ \| BytePositionInLine: \d+\.?")]
    private static partial Regex Position();
}
