// SPDX-License-Identifier: Apache-2.0

using System.CommandLine;

namespace Mooncake.Mesh.Node.Cli;

/// <summary>A flag whose default and value are kept as typed, so that the help text shows them so.</summary>
internal sealed class TextOption<T> : Option<string>
{
    private readonly Func<string, T> _parse;

    internal TextOption(string name, string description, string helpName, string standard, Func<string, T> parse)
        : base(name)
    {
        _parse = parse;
        Description = description;
        HelpName = helpName;
        DefaultValueFactory = _ => standard;
        Validators.Add(result =>
        {
            try
            {
                parse(result.GetValueOrDefault<string>() ?? standard);
            }
            catch (FormatException e)
            {
                result.AddError($"{name}: {e.Message}");
            }
        });
    }

    /// <summary>The value of a command line without errors.</summary>
    internal T Read(ParseResult parsed) => _parse(parsed.GetValue(this)!);
}
