// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Text;

namespace Mooncake.Mesh.Membership;

/// <summary>The counter of a namespace's removals of everything, as the registry holds it: decimal text.</summary>
internal static class ClearCounter
{
    /// <summary>The one namespace there is.</summary>
    public const string DefaultNamespace = "default";

    /// <summary>Largest value; far above any count, and far below where adding one could wrap.</summary>
    public const long Most = 1L << 60;

    private const int MostAttempts = 16;

    /// <summary>The key below the mesh's prefix.</summary>
    public static string KeyOf(string name) => RegistryMirror.ClearedPrefix + name;

    /// <summary>The counter in a value of the registry, or null when it is none.</summary>
    public static long? Parse(byte[] value) =>
        long.TryParse(Encoding.UTF8.GetString(value), NumberStyles.None, CultureInfo.InvariantCulture, out long counter)
        && counter <= Most ? counter : null;

    /// <summary>
    /// Raises the counter by one, above <paramref name="known"/>, by compare-and-set. An answer that was lost can make
    /// it two.
    /// </summary>
    /// <exception cref="RegistryException">The registry failed, or the counter changed at every attempt.</exception>
    public static async Task<long> RaiseAsync(IMeshRegistry registry, string name, long known, CancellationToken cancel)
    {
        long value = known, expected = 0;
        for (int attempt = 0; attempt < MostAttempts; attempt++)
        {
            byte[] text = Encoding.UTF8.GetBytes((value + 1).ToString(CultureInfo.InvariantCulture));
            var write = await registry.WriteIfAsync(KeyOf(name), text, 0, expected, cancel);
            if (write.Succeeded)
                return value + 1;
            expected = write.Current?.ModRevision ?? 0;
            value = Math.Max(known, write.Current is { } current ? Parse(current.Value) ?? 0 : 0);
        }

        throw new RegistryException(RegistryFailure.Unavailable,
            $"{KeyOf(name)} changed at each of {MostAttempts} writes");
    }
}
