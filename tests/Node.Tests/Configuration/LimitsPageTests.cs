// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using Mooncake.Mesh.Node.Serve;
using Mooncake.Mesh.Verbs;

namespace Mooncake.Mesh.Node.Tests.Configuration;

/// <summary>docs/limits.md says what the code does.</summary>
public sealed class LimitsPageTests
{
    [Fact]
    public void Every_limit_of_the_page_is_that_of_its_constant()
    {
        string page = File.ReadAllText(Path.Combine(TestTree.Root, "docs/limits.md"));
        var rows = Regex.Matches(page, @"(?m)^\| ([^|]+) \| ([^|]+) \| `(\w+)\.(\w+)` \| ([^|]+) \|$");
        Assert.True(rows.Count >= 30, $"{rows.Count} rows");
        Assert.Empty(
            from row in rows
            let constant = ValueOf(row.Groups[3].Value, row.Groups[4].Value)
            where TextOf(constant) is var text && row.Groups[2].Value is var told && text != told
                && text + " bytes" != told
            select $"{row.Groups[1].Value}: the page says {row.Groups[2].Value}, the code {constant}");
    }

    private static object ValueOf(string type, string name)
    {
        Assembly[] all = [typeof(MeshNode).Assembly, typeof(VerbsException).Assembly, typeof(AdminServer).Assembly];
        Type[] types = [.. all.SelectMany(assembly => assembly.GetTypes()).Where(t => t.Name == type && !t.IsNested)];
        Type found = Assert.Single(types);
        const BindingFlags Any = BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic;
        FieldInfo? field = found.GetField(name, Any);
        Assert.True(field is not null, $"{type} has no {name}");
        return field.GetValue(null)!;
    }

    private static string TextOf(object value) => value switch
    {
        TimeSpan { TotalSeconds: < 1 } time =>
            string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0} ms"),
        TimeSpan time => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0} s"),
        _ => Convert.ToInt64(value, CultureInfo.InvariantCulture).ToString("N0", CultureInfo.InvariantCulture),
    };
}
