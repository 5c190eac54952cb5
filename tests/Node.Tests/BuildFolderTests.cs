// SPDX-License-Identifier: Apache-2.0

using System.Reflection.Metadata;

namespace Mooncake.Mesh.Node.Tests;

/// <summary>
/// What is shipped does not depend on the folder it was built in: two builds of one commit are the same, byte for byte.
/// </summary>
public sealed class BuildFolderTests
{
    [Theory]
    [InlineData("Mooncake.Mesh")]
    [InlineData("Mooncake.Mesh.Verbs")]
    [InlineData("Mooncake.Mesh.Cuda")]
    [InlineData("Mooncake.Mesh.Client")]
    [InlineData("mooncake-mesh")]
    public void No_source_is_named_by_its_folder(string assembly)
    {
        using var file = File.OpenRead(Path.Combine(AppContext.BaseDirectory, assembly + ".pdb"));
        using var provider = MetadataReaderProvider.FromPortablePdbStream(file);
        var reader = provider.GetMetadataReader();
        string[] sources = [.. reader.Documents.Select(handle => reader.GetString(reader.GetDocument(handle).Name))];
        Assert.NotEmpty(sources);
        Assert.All(sources, source => Assert.StartsWith("/_/", source));
    }
}
